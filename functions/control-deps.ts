import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { theRuntime } from '#functions/runtime.ts';
import { PROFILES } from '#lib/domain/control/profile.ts';
import { membersOf } from '#lib/domain/topology.ts';
import type { WritePath } from '#lib/ports/sentinel-ports.ts';
import type { RegisterDeps } from '#lib/usecases/control/change-register.ts';

/** What sentinel and failover share: the register's acceptors, chance, time, and the write path of every store. */
export function controlDeps() {
  const { config, region, peers, engine, control, telemetry } = theRuntime();
  const clock = { now: () => Date.now(), steadyMs: () => performance.now() };
  const register: RegisterDeps = {
    acceptors: { members: membersOf(config), of: (member) => peers.acceptor(member) },
    region,
    chance: () => randomUUID().slice(0, 8),
    random: Math.random,
    sleep: (ms) => sleep(ms, undefined, { ref: false }),
  };
  const writePath: WritePath = {
    canary: (at, lease) => engine.beat(at, clock.now(), lease),
  };
  return {
    ...register,
    clock,
    control,
    peers,
    profile: PROFILES[config.failover.profile],
    telemetry,
    writePath,
  };
}
