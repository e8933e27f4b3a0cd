import { ApiServer } from '#lib/local/api-server.ts';
import { freePort } from '#lib/local/ports.ts';

/** Secrets Manager, as far as one reads of it. */
export type FakeSecrets = AsyncDisposable & {
  readonly endpoint: string;
  /** By name. */
  readonly values: Map<string, string>;
  /** Names that were asked for, in order. */
  readonly asked: string[];
};

export async function startFakeSecrets(): Promise<FakeSecrets> {
  const port = await freePort();
  const values = new Map<string, string>();
  const asked: string[] = [];
  const headers = { 'content-type': 'application/x-amz-json-1.1' };
  const refusal = (name: string) => ({ status: 400, headers, body: JSON.stringify({ __type: name }) });
  const api = await ApiServer.open(port, {
    answer(request, body) {
      if (request.headers['x-amz-target'] !== 'secretsmanager.GetSecretValue') {
        return refusal('UnknownOperationException');
      }
      const { SecretId } = JSON.parse(body.toString());
      asked.push(SecretId);
      const SecretString = values.get(SecretId);
      if (SecretString === undefined) return refusal('ResourceNotFoundException');
      return { status: 200, headers, body: JSON.stringify({ Name: SecretId, SecretString }) };
    },
    throttled: () => refusal('ThrottlingException'),
  });
  return {
    endpoint: `http://127.0.0.1:${port}`,
    values,
    asked,
    [Symbol.asyncDispose]: () => api.close(),
  };
}
