import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { ZodError } from 'zod';
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

type Reply = { readonly status: number; readonly body: string };

/** The part of Route 53's API that failover needs, of 2013-04-01, by HTTP on a loopback port. */
export class Route53Api {
  readonly #zone: Zone;
  readonly #health: HealthChecks;
  readonly #server = createServer(async (request, response) => {
    const { status, body } = await this.#reply(request);
    response.writeHead(status, { 'content-type': 'text/xml' }).end(body);
  });
  #toThrottle = 0;

  private constructor(zone: Zone, health: HealthChecks) {
    this.#zone = zone;
    this.#health = health;
  }

  static async open(port: number, zone: Zone, health: HealthChecks): Promise<Route53Api> {
    const api = new Route53Api(zone, health);
    await once(api.#server.listen(port, '127.0.0.1'), 'listening');
    return api;
  }

  /** Refuses the next requests as Route 53 does above its rate. */
  throttle(requests: number): void {
    this.#toThrottle = requests;
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #reply(request: IncomingMessage): Promise<Reply> {
    const body = await text(request);
    if (this.#toThrottle > 0) {
      this.#toThrottle -= 1;
      return failure(400, 'Throttling', 'Rate exceeded');
    }
    try {
      return this.#route(request.method ?? 'GET', new URL(request.url ?? '/', 'http://twin'), body);
    } catch (error) {
      if (error instanceof ZodError) return failure(400, 'InvalidInput', error.message);
      return failure(500, 'InternalFailure', String(error));
    }
  }

  #route(method: string, { pathname, searchParams }: URL, body: string): Reply {
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

  #change(body: string): Reply {
    const outcome = this.#zone.change(readChanges(body));
    if (outcome.kind === 'refused') {
      return failure(400, 'InvalidChangeBatch', `[${outcome.reasons.join(', ')}]`);
    }
    return success('ChangeResourceRecordSetsResponse', changeInfo(outcome.id, 'PENDING'));
  }

  #getChange(id: string): Reply {
    const status = this.#zone.status(id);
    return status === undefined ? noSuch('Change', id) : success('GetChangeResponse', changeInfo(id, status));
  }

  #list(query: URLSearchParams): Reply {
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

  #createHealthCheck(body: string): Reply {
    const { callerReference, config } = readNewHealthCheck(body);
    const check = this.#health.create(callerReference, config);
    return success('CreateHealthCheckResponse', healthCheckElement(check), 201);
  }

  #getHealthCheck(id: string): Reply {
    const check = this.#health.get(id);
    return check === undefined
      ? noSuch('HealthCheck', id)
      : success('GetHealthCheckResponse', healthCheckElement(check));
  }

  #updateHealthCheck(id: string, body: string): Reply {
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

function success(root: string, content: Record<string, unknown>, status = 200): Reply {
  return { status, body: document(root, content) };
}

function failure(status: number, code: string, message: string): Reply {
  const error = { Type: status < 500 ? 'Sender' : 'Receiver', Code: code, Message: message };
  return { status, body: document('ErrorResponse', { Error: error, RequestId: 'local' }) };
}

function noSuch(kind: string, id: string): Reply {
  return failure(404, `NoSuch${kind}`, `there is no ${kind} ${id}`);
}
