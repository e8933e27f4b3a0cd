import type { HostFenceRequest } from '#lib/ports/sentinel-ports.ts';

/** A hook of the embedded cloud: there are no hosts to stop, and it says which ones it would have. */
export function fence({ epoch, region }: HostFenceRequest) {
  return { fenced: true, detail: `hosts of ${region} are stopped for epoch ${epoch}` };
}
