import type { MiddlewareObj } from '@middy/core';
import * as z from 'zod';
import { theRuntime } from '#functions/runtime.ts';
import { isFailure, UnderstudyError } from '#lib/domain/errors.ts';

/** Refuses an event of the wrong shape with EVENT_INVALID; hands on what the schema made of it. */
export function parsed<T>(schema: z.ZodType<T>): MiddlewareObj<T> {
  return {
    before: (request) => {
      const result = schema.safeParse(request.event);
      if (!result.success) {
        throw new UnderstudyError(
          'EVENT_INVALID',
          z.prettifyError(result.error),
          'Invoke the function by its event source or schedule, or with the documented test event.',
          { cause: result.error },
        );
      }
      request.event = result.data;
    },
  };
}

/** Logs a failure with its code and runbook section before Lambda sees it. Never the event: it holds row data. */
export function reported(name: string): MiddlewareObj {
  return {
    onError: ({ error }) => {
      const known = isFailure(error) ? { code: error.code, next: error.next, runbook: error.runbook } : {};
      theRuntime().telemetry.event('failed', { function: name, why: String(error), ...known });
    },
  };
}

/** The event of a schedule. */
export const tick = z.object({ kind: z.literal('tick') });

/** The event of a log table's stream: a hint that the log has grown. Its records are not read. */
export const hint = z.object({ Records: z.array(z.unknown()) });
