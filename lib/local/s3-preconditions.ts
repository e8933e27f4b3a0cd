export type Request = {
  readonly params: unknown;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
};
export type Reply = {
  status(code: number): Reply;
  header(name: string, value: unknown): Reply;
  send(body?: string): unknown;
};
export type Handler = (request: Request, reply: Reply) => unknown;
/** A route as the HTTP framework announces it, before it is in force; it may be changed. */
export type Route = { readonly method: string | readonly string[]; readonly url: string; handler: Handler };

type ObjectParams = { readonly bucket: string; readonly '*': string };
type Stored = { readonly status: number; readonly etag: string | undefined };
type Refusal = { readonly status: number; readonly code: string; readonly message: string };

const OBJECT_URL = '/:bucket/*';

/**
 * Makes a hook for new routes that gives PUT of an object (and the POST that completes a multipart upload)
 * S3's If-None-Match and If-Match.
 *
 * Check and write are one step: the server's handlers do their work before they return, so nothing can come
 * between the HEAD handler's answer and the PUT handler's write.
 */
export function addPreconditions(): (route: Route) => void {
  let head: Handler | undefined;
  return (route) => {
    if (route.url !== OBJECT_URL) return;
    if (route.method === 'HEAD') head = route.handler;
    if (route.method !== 'PUT' && route.method !== 'POST') return;
    const write = route.handler;
    route.handler = (request, reply) => {
      const refusal = refusalOf(request, (params) => inspect(head, params));
      return refusal === undefined ? write(request, reply) : answer(reply, refusal, request);
    };
  };
}

/** Why S3 refuses this write, or undefined if no precondition stands against it. */
function refusalOf(request: Request, stored: (params: ObjectParams) => Stored): Refusal | undefined {
  const ifNoneMatch = request.headers['if-none-match'];
  const ifMatch = request.headers['if-match'];
  if (ifNoneMatch === undefined && ifMatch === undefined) return undefined;
  const params = request.params as ObjectParams;
  // A missing bucket is the write's own error.
  if (stored({ ...params, '*': '' }).status !== 200) return undefined;

  const { status, etag } = stored(params);
  const exists = status === 200;
  if (ifNoneMatch !== undefined && ifNoneMatch !== '*') {
    return { status: 501, code: 'NotImplemented', message: 'If-None-Match takes only *' };
  }
  if (ifNoneMatch === '*' && exists) return PRECONDITION_FAILED;
  if (ifMatch === undefined) return undefined;
  if (!exists) return { status: 404, code: 'NoSuchKey', message: 'The specified key does not exist.' };
  return bare(String(ifMatch)) === bare(etag ?? '') ? undefined : PRECONDITION_FAILED;
}

const PRECONDITION_FAILED: Refusal = {
  status: 412,
  code: 'PreconditionFailed',
  message: 'At least one of the pre-conditions you specified did not hold',
};

/** What the server's own HEAD handler says of an object, or of the bucket if the key is empty. */
function inspect(head: Handler | undefined, params: ObjectParams): Stored {
  let status: number | undefined;
  let etag: string | undefined;
  const reply: Reply = {
    status: (code) => {
      status = code;
      return reply;
    },
    header: (name, value) => {
      if (name === 'etag') etag = String(value);
      return reply;
    },
    send: () => reply,
  };
  head?.({ params, headers: {} }, reply);
  if (status === undefined) throw new Error('the HEAD handler did not answer at once');
  return { status, etag };
}

function answer(reply: Reply, { status, code, message }: Refusal, request: Request): void {
  const { bucket, '*': key } = request.params as ObjectParams;
  reply.status(status).header('content-type', 'application/xml');
  reply.send(
    `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${message}</Message>` +
      `<Resource>${xml(`/${bucket}/${key}`)}</Resource></Error>`,
  );
}

function bare(etag: string): string {
  return etag.replaceAll('"', '');
}

function xml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
