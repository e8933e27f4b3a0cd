import type { IncomingMessage } from 'node:http';
import { ZodError } from 'zod';
import type { Api, ApiReply } from '#lib/local/api-server.ts';
import type { HealthChecks } from '#lib/local/dns/health-checks.ts';
import {
  changeInfo,
  document,
  healthCheckElement,
  nameOf,
  readChanges,
  readHealthUpdate,
  readNewHealthCheck,
  recordSetElement,
} from '#lib/local/dns/route53-documents.ts';
import type { Zone } from '#lib/local/dns/zone.ts';

/** The one hosted zone that the twin has. */
export const ZONE_ID = 'Z0000000LOCAL';

const PAGE = 300;

/** The part of Route 53's API that failover needs, of 2013-04-01. */
export class Route53Api implements Api {
  readonly #zone: Zone;
  readonly #health: HealthChecks;

  constructor(zone: Zone, health: HealthChecks) {
    this.#zone = zone;
    this.#health = health;
  }

  answer({ method = 'GET', url = '/' }: IncomingMessage, body: Buffer): ApiReply {
    try {
      return this.#route(method, new URL(url, 'http://twin'), body.toString());
    } catch (error) {
      if (error instanceof ZodError) return failure(400, 'InvalidInput', error.message);
      return failure(500, 'InternalFailure', String(error));
    }
  }

  throttled(): ApiReply {
    return failure(400, 'Throttling', 'Rate exceeded');
  }

  #route(method: string, { pathname, searchParams }: URL, body: string): ApiReply {
    const [version, kind, id = '', part] = pathname.split('/').filter((step) => step !== '');
    if (version !== '2013-04-01') return failure(404, 'InvalidAction', `there is no ${pathname}`);
    if (kind === 'hostedzone' && id !== ZONE_ID) return noSuch('HostedZone', id);
    switch (`${method} ${kind}${part === undefined ? '' : `/${part}`}`) {
      case 'POST hostedzone/rrset':
        return this.#change(body);
      case 'GET hostedzone/rrset':
        return this.#list(searchParams);
      case 'GET hostedzone':
        return success('GetHostedZoneResponse', {
          HostedZone: { Id: `/hostedzone/${id}`, Name: `${this.#zone.apex}.`, CallerReference: 'local' },
        });
      case 'GET change':
        return this.#getChange(id);
      case 'POST healthcheck':
        return id === '' ? this.#createHealthCheck(body) : this.#updateHealthCheck(id, body);
      case 'GET healthcheck':
        return this.#getHealthCheck(id);
      default:
        return failure(404, 'InvalidAction', `there is no ${method} ${pathname}`);
    }
  }

  #change(body: string): ApiReply {
    const outcome = this.#zone.change(readChanges(body));
    if (outcome.kind === 'refused') {
      return failure(400, 'InvalidChangeBatch', `[${outcome.reasons.join(', ')}]`);
    }
    return success('ChangeResourceRecordSetsResponse', changeInfo(outcome.id, 'PENDING'));
  }

  #getChange(id: string): ApiReply {
    const status = this.#zone.status(id);
    return status === undefined ? noSuch('Change', id) : success('GetChangeResponse', changeInfo(id, status));
  }

  #list(query: URLSearchParams): ApiReply {
    const sets = this.#zone.list({
      name: nameOf(query.get('name') ?? ''),
      type: query.get('type') ?? '',
      setIdentifier: query.get('identifier') ?? '',
    });
    const size = Math.min(Number(query.get('maxitems') ?? PAGE), PAGE);
    const next = sets[size];
    return success('ListResourceRecordSetsResponse', {
      ResourceRecordSets: { ResourceRecordSet: sets.slice(0, size).map(recordSetElement) },
      IsTruncated: next !== undefined,
      MaxItems: size,
      NextRecordName: next && `${next.name}.`,
      NextRecordType: next?.type,
      NextRecordIdentifier: next?.setIdentifier,
    });
  }

  #createHealthCheck(body: string): ApiReply {
    const { callerReference, config } = readNewHealthCheck(body);
    const check = this.#health.create(callerReference, config);
    return success('CreateHealthCheckResponse', healthCheckElement(check), 201);
  }

  #getHealthCheck(id: string): ApiReply {
    const check = this.#health.get(id);
    return check === undefined
      ? noSuch('HealthCheck', id)
      : success('GetHealthCheckResponse', healthCheckElement(check));
  }

  #updateHealthCheck(id: string, body: string): ApiReply {
    const { version, patch } = readHealthUpdate(body);
    const current = this.#health.get(id);
    if (version !== undefined && current !== undefined && version !== current.version) {
      return failure(409, 'HealthCheckVersionMismatch', `the version is ${current.version}`);
    }
    const check = this.#health.update(id, patch);
    return check === undefined
      ? noSuch('HealthCheck', id)
      : success('UpdateHealthCheckResponse', healthCheckElement(check));
  }
}

const HEADERS = { 'content-type': 'text/xml' };

function success(root: string, content: Record<string, unknown>, status = 200): ApiReply {
  return { status, headers: HEADERS, body: document(root, content) };
}

function failure(status: number, code: string, message: string): ApiReply {
  const error = { Type: status < 500 ? 'Sender' : 'Receiver', Code: code, Message: message };
  return { status, headers: HEADERS, body: document('ErrorResponse', { Error: error, RequestId: 'local' }) };
}

function noSuch(kind: string, id: string): ApiReply {
  return failure(404, `NoSuch${kind}`, `there is no ${kind} ${id}`);
}
