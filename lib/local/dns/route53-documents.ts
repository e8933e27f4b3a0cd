import XMLBuilder from 'fast-xml-builder';
import { XMLParser } from 'fast-xml-parser';
import * as z from 'zod';
import type { HealthCheck, HealthCheckConfig } from '#lib/local/dns/health-checks.ts';
import type { RecordChange, RecordSet } from '#lib/local/dns/zone.ts';

const NAMESPACE = 'https://route53.amazonaws.com/doc/2013-04-01/';

const parser = new XMLParser({
  parseTagValue: false,
  isArray: (name) => name === 'Change' || name === 'ResourceRecord',
});
const builder = new XMLBuilder({ ignoreAttributes: false });

const whole = z
  .string()
  .regex(/^\d{1,9}$/)
  .transform(Number);
const flag = z.enum(['true', 'false']).transform((text) => text === 'true');

const recordSet = z.strictObject({
  Name: z.string(),
  Type: z.enum(['A', 'AAAA', 'CNAME', 'TXT']),
  TTL: whole,
  ResourceRecords: z.object({ ResourceRecord: z.array(z.object({ Value: z.string() })) }),
  SetIdentifier: z.string().optional(),
  Failover: z.enum(['PRIMARY', 'SECONDARY']).optional(),
  Weight: whole.pipe(z.int().max(255)).optional(),
  HealthCheckId: z.string().optional(),
});
const changeBatch = z.object({
  ChangeResourceRecordSetsRequest: z.object({
    ChangeBatch: z.object({
      Comment: z.string().optional(),
      Changes: z.object({
        Change: z.array(
          z.object({ Action: z.enum(['CREATE', 'DELETE', 'UPSERT']), ResourceRecordSet: recordSet }),
        ),
      }),
    }),
  }),
});

/** The part of a health check that can be changed later. */
const healthFields = {
  Port: whole,
  ResourcePath: z.string().startsWith('/'),
  Inverted: flag,
  Disabled: flag,
  FailureThreshold: whole,
};
const newHealthCheck = z.object({
  CreateHealthCheckRequest: z.object({
    CallerReference: z.string(),
    HealthCheckConfig: z.object({
      // The twin asks nobody outside of this machine.
      IPAddress: z.literal('127.0.0.1'),
      Type: z.literal('HTTP'),
      ...healthFields,
      ResourcePath: healthFields.ResourcePath.default('/'),
      Port: healthFields.Port.default(80),
      Inverted: healthFields.Inverted.default(false),
      Disabled: healthFields.Disabled.default(false),
      FailureThreshold: healthFields.FailureThreshold.default(3),
    }),
  }),
});
const healthUpdate = z.object({
  UpdateHealthCheckRequest: z.object({ ...healthFields, HealthCheckVersion: whole }).partial(),
});

/** Reads ChangeResourceRecordSetsRequest. Each of the readers throws a ZodError for what the twin does not know. */
export function readChanges(body: string): readonly RecordChange[] {
  const { ChangeBatch } = changeBatch.parse(parser.parse(body)).ChangeResourceRecordSetsRequest;
  return ChangeBatch.Changes.Change.map(({ Action, ResourceRecordSet: set }) => ({
    action: Action,
    set: {
      name: nameOf(set.Name),
      type: set.Type,
      ttl: set.TTL,
      values: set.ResourceRecords.ResourceRecord.map(({ Value }) => Value),
      setIdentifier: set.SetIdentifier,
      failover: set.Failover,
      weight: set.Weight,
      healthCheckId: set.HealthCheckId,
    },
  }));
}

export function readNewHealthCheck(body: string): {
  readonly callerReference: string;
  readonly config: HealthCheckConfig;
} {
  const request = newHealthCheck.parse(parser.parse(body)).CreateHealthCheckRequest;
  const config = request.HealthCheckConfig;
  return {
    callerReference: request.CallerReference,
    config: {
      port: config.Port,
      resourcePath: config.ResourcePath,
      inverted: config.Inverted,
      disabled: config.Disabled,
      failureThreshold: config.FailureThreshold,
    },
  };
}

/** `version`: the only one that may be changed, if given. */
export function readHealthUpdate(body: string): {
  readonly version: number | undefined;
  readonly patch: Partial<HealthCheckConfig>;
} {
  const update = healthUpdate.parse(parser.parse(body)).UpdateHealthCheckRequest;
  const { Port, ResourcePath, Inverted, Disabled, FailureThreshold } = update;
  const patch = {
    ...(Port !== undefined && { port: Port }),
    ...(ResourcePath !== undefined && { resourcePath: ResourcePath }),
    ...(Inverted !== undefined && { inverted: Inverted }),
    ...(Disabled !== undefined && { disabled: Disabled }),
    ...(FailureThreshold !== undefined && { failureThreshold: FailureThreshold }),
  };
  return { version: update.HealthCheckVersion, patch };
}

/** A name as the zone keeps it, from any spelling of a request. */
export function nameOf(name: string): string {
  return name.toLowerCase().replace(/\.$/, '');
}

/** A response document. `content`: a field per element; an array repeats its element; undefined leaves it out. */
export function document(root: string, content: Record<string, unknown>): string {
  const body: string = builder.build({ [root]: { '@_xmlns': NAMESPACE, ...content } });
  return `<?xml version="1.0" encoding="UTF-8"?>\n${body}`;
}

export function changeInfo(id: string, status: 'PENDING' | 'INSYNC') {
  return { ChangeInfo: { Id: `/change/${id}`, Status: status, SubmittedAt: new Date().toISOString() } };
}

export function recordSetElement(set: RecordSet) {
  return {
    Name: `${set.name}.`,
    Type: set.type,
    SetIdentifier: set.setIdentifier,
    Weight: set.weight,
    Failover: set.failover,
    TTL: set.ttl,
    ResourceRecords: { ResourceRecord: set.values.map((Value) => ({ Value })) },
    HealthCheckId: set.healthCheckId,
  };
}

export function healthCheckElement({ id, callerReference, version, config }: HealthCheck) {
  return {
    HealthCheck: {
      Id: id,
      CallerReference: callerReference,
      HealthCheckConfig: {
        IPAddress: '127.0.0.1',
        Port: config.port,
        Type: 'HTTP',
        ResourcePath: config.resourcePath,
        FailureThreshold: config.failureThreshold,
        Inverted: config.inverted,
        Disabled: config.disabled,
      },
      HealthCheckVersion: version,
    },
  };
}
