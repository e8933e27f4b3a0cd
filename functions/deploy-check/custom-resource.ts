import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';

/** How often the answer is sent before the invocation fails and Lambda begins it again. */
const TRIES = 3;

/** What CloudFormation invokes a function with that stands for a resource. It makes a string of every property. */
export const customResourceEvent = z.object({
  RequestType: z.enum(['Create', 'Update', 'Delete']),
  ResponseURL: z.url(),
  StackId: z.string(),
  RequestId: z.string(),
  LogicalResourceId: z.string(),
  PhysicalResourceId: z.string().optional(),
  ResourceProperties: z.looseObject({
    existing: z.enum(['true', 'false']),
    anyway: z.string().optional(),
  }),
});

export type CustomResourceEvent = z.infer<typeof customResourceEvent>;

export type CustomResourceAnswer =
  | { readonly Status: 'SUCCESS'; readonly Data?: Readonly<Record<string, string>> }
  | { readonly Status: 'FAILED'; readonly Reason: string };

/** Tells CloudFormation what became of the resource; it waits for nothing else. */
export async function answer(
  event: CustomResourceEvent,
  physicalResourceId: string,
  body: CustomResourceAnswer,
): Promise<void> {
  const { StackId, RequestId, LogicalResourceId, ResponseURL } = event;
  const text = JSON.stringify({
    ...body,
    PhysicalResourceId: event.PhysicalResourceId ?? physicalResourceId,
    StackId,
    RequestId,
    LogicalResourceId,
  });
  for (let tries = 1; ; tries++) {
    try {
      // As bytes: the URL is signed for a request that has no content type.
      const response = await fetch(ResponseURL, { method: 'PUT', body: new TextEncoder().encode(text) });
      if (response.ok) return;
      throw new Error(`CloudFormation answers ${response.status}`);
    } catch (error) {
      if (tries === TRIES) throw error;
      await sleep(1000 * tries);
    }
  }
}
