import { openGroup } from '#functions/engines/open-group.ts';
import { readConfig } from '#lib/aws/config.ts';
import { EmfTelemetry } from '#lib/aws/emf-telemetry.ts';
import { XrayNotes } from '#lib/aws/xray-notes.ts';

let write = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

/** Sends telemetry elsewhere than to standard output, which is where Lambda reads it. Call it before first use. */
export function writeTelemetryTo(sink: (line: string) => void): void {
  write = sink;
}

/** What the functions of a Region share: configuration, adapters, telemetry. */
function createRuntime() {
  const config = readConfig(process.env);
  const { group, region } = config;
  const clock = { now: () => Date.now() };
  const telemetry = new EmfTelemetry({
    write: (line) => write(line),
    clock,
    context: { group, region },
    notes: new XrayNotes({ env: process.env, clock }),
  });
  const { peers, engine } = openGroup(config, { telemetry, fence: config.failover.fence, from: region });
  return { config, region, clock, telemetry, peers, engine, control: peers.control(region) };
}

let runtime: ReturnType<typeof createRuntime> | undefined;

/** Made once a process, on first use: a function with a broken configuration fails its invocations, loudly. */
export function theRuntime(): ReturnType<typeof createRuntime> {
  runtime ??= createRuntime();
  return runtime;
}
