import type { Profile } from '#lib/domain/control/profile.ts';
import { type Part, referredTo, textOf } from '#lib/domain/template-text.ts';

type Resource = { readonly Type: string; readonly Properties?: Readonly<Record<string, Part>> };
export type PathTemplate = { readonly Resources?: Readonly<Record<string, Resource>> };
/** A replica's stack, as it was synthesized. */
export type PathStack = { readonly region: string; readonly template: PathTemplate };

/**
 * - control-plane: a step calls a control plane that is in us-east-1 alone.
 * - one-region: a step needs one other Region, which may be the one that is lost.
 * - foreign-key: a key of another Region decrypts what a step needs.
 * - no-coordinator: a Region could not run the failover if another one is lost.
 */
export type DependencyRule = 'control-plane' | 'one-region' | 'foreign-key' | 'no-coordinator';

/** What a step of the failover needs that may be lost with a Region. */
export type Dependency = {
  readonly rule: DependencyRule;
  /** Where the failover would be run. */
  readonly region: string;
  /** The state of the workflow, or the function. */
  readonly step: string;
  /** The resource of the template that says so; absent where one is missing. */
  readonly resource?: string;
  readonly what: string;
  /** The setting that cures it. */
  readonly cure: string;
  /** Whether the profile forbids it. */
  readonly severity: 'error' | 'warning';
};

/** Services whose control plane is in us-east-1, whoever asks (AWS Fault Isolation Boundaries, "Global services"). */
const GLOBAL = ['route53', 'iam', 'organizations', 'cloudfront', 'account'] as const;
/** Calls of theirs that the data plane answers, or that can wait. */
const HARMLESS = new Set(['route53:GetChange', 'route53:ListResourceRecordSets']);
/** Calls that a function makes beside the path of a failover: a leader puts right what a run has left undone. */
const BESIDE: Readonly<Record<string, string>> = { sentinel: 'route53:ChangeResourceRecordSets' };
/**
 * What lets a function into the database of a Region, and is in that Region: without it, there is nothing to be let into. The
 * constructs take no other.
 */
const LOGINS = new Set(['rds-db:connect', 'secretsmanager:GetSecretValue']);
/** The state of the workflow that makes a call, where it is one only. */
const STEP_OF: Readonly<Record<string, string>> = { 'route53:ChangeResourceRecordSets': 'Repoint' };
/** The functions in the path of a failover: what starts it, and what takes its steps. */
const IN_PATH = ['sentinel', 'failover'] as const;

/**
 * Walks the failover path of a group's templates: from the states of each Region's workflow to the functions that take
 * them, what their roles may call, their environment, and the tables and keys behind.
 */
export function failoverDependencies(
  stacks: readonly PathStack[],
  profile: Profile['name'],
): readonly Dependency[] {
  return stacks.flatMap((stack) => [
    ...missing(stack),
    ...states(stack),
    ...IN_PATH.flatMap((name) => {
      const found = functionOf(stack, name);
      return found === undefined
        ? []
        : [...calls(stack, found, name, profile), ...environment(stack, found, name)];
    }),
    ...keys(stack),
  ]);
}

/** A replica's Region must be able to run the failover by itself. */
function missing(stack: PathStack): readonly Dependency[] {
  const absent = [
    ...(machinesOf(stack).length === 0 ? ['the workflow'] : []),
    ...IN_PATH.filter((name) => functionOf(stack, name) === undefined).map((name) => `the function ${name}`),
  ];
  return absent.map((what) => ({
    rule: 'no-coordinator',
    region: stack.region,
    step: 'Claim',
    what: `${stack.region} has not got ${what}: if the Region that has it is lost, nobody runs the failover from here`,
    cure: 'Deploy the same stack to every replica: leave regions and the constructs of a stack as ReplicationGroup makes them.',
    severity: 'error',
  }));
}

/** The states of the workflow: each must be taken here. */
function states(stack: PathStack): readonly Dependency[] {
  return machinesOf(stack).flatMap(([resource, { Properties }]) => {
    const text = textOf(Properties?.DefinitionString ?? Properties?.Definition ?? '', stack.region);
    return statesIn(text).flatMap(([step, target]): readonly Dependency[] => {
      const elsewhere = otherRegionOf(target, stack.region);
      const called = GLOBAL.find((service) => target.includes(`:aws-sdk:${service}:`));
      if (elsewhere !== undefined) return [oneRegion(stack, step, resource, `it calls ${target}`, elsewhere)];
      if (called === undefined) return [];
      return [
        {
          rule: 'control-plane',
          region: stack.region,
          step,
          resource,
          what: `it calls the control plane of ${called}, which is in us-east-1 alone`,
          cure: 'Take the step by a function that does without it.',
          severity: 'error',
        },
      ];
    });
  });
}

/** What a function's role may call. */
function calls(
  stack: PathStack,
  [id, { Properties }]: readonly [string, Resource],
  name: string,
  profile: Profile['name'],
): readonly Dependency[] {
  const found: Dependency[] = [];
  for (const { Effect, Action, Condition, Resource } of statementsOf(stack, referredTo(Properties?.Role))) {
    if (Effect === 'Deny') continue;
    const actions = [Action].flat().map(String);
    const regions = new Set([Resource].flat().flatMap((each) => regionIn(textOf(each, stack.region)) ?? []));
    const [only] = regions;
    if (actions.every((action) => LOGINS.has(action)) || isForSecrets(Condition, stack.region)) continue;
    for (const action of actions) {
      const step = STEP_OF[action] ?? name;
      const service = GLOBAL.find((each) => action.startsWith(`${each}:`));
      if (service !== undefined && !HARMLESS.has(action) && BESIDE[name] !== action) {
        found.push({
          rule: 'control-plane',
          region: stack.region,
          step,
          resource: id,
          what: `it may call ${action}, and the control plane of ${service} is in us-east-1 alone`,
          cure:
            service === 'route53'
              ? `Set dns.flip to data-plane, which makes no call to Route 53, use Profile.balanced or Profile.cautious, which can wait for it, or leave dns out.`
              : `Take ${action} from the function: no step of a failover needs it.`,
          // A failover of two seconds can't wait for another Region's control plane.
          severity: service !== 'route53' || profile === 'fast' ? 'error' : 'warning',
        });
      } else if (action.startsWith('kms:') && only !== undefined && !regions.has(stack.region)) {
        found.push(foreignKey(stack, step, id, only));
      } else if (regions.size === 1 && only !== undefined && only !== stack.region) {
        found.push(oneRegion(stack, step, id, `it may call ${action} in ${only} and nowhere else`, only));
      }
    }
  }
  return found;
}

function environment(
  stack: PathStack,
  [id, { Properties }]: readonly [string, Resource],
  name: string,
): readonly Dependency[] {
  const { Variables = {} } = (Properties?.Environment ?? {}) as { Variables?: Record<string, Part> };
  const found: Dependency[] = [];
  if (textOf(Variables.AWS_STS_REGIONAL_ENDPOINTS ?? '', stack.region) === 'legacy') {
    found.push({
      rule: 'control-plane',
      region: stack.region,
      step: name,
      resource: id,
      what: 'it asks the global endpoint of STS, which is in us-east-1',
      cure: 'Set AWS_STS_REGIONAL_ENDPOINTS to regional, or leave it out.',
      severity: 'error',
    });
  }
  const key = regionIn(textOf(Properties?.KmsKeyArn ?? '', stack.region));
  if (key !== undefined && key !== stack.region) found.push(foreignKey(stack, name, id, key));
  return found;
}

/** What tables, buckets, topics and log groups here are encrypted with. */
function keys(stack: PathStack): readonly Dependency[] {
  return Object.entries(stack.template.Resources ?? {}).flatMap(([id, { Type, Properties }]) => {
    if (Type === 'AWS::Lambda::Function' || Type === 'AWS::IAM::Policy' || Type === 'AWS::KMS::ReplicaKey') {
      return [];
    }
    const arns = JSON.stringify(Properties ?? {}).match(/arn:aws[a-z-]*:kms:([a-z0-9-]+):/g) ?? [];
    const foreign = arns.map((arn) => arn.split(':')[3]!).find((region) => region !== stack.region);
    return foreign === undefined ? [] : [foreignKey(stack, Type, id, foreign)];
  });
}

function foreignKey(stack: PathStack, step: string, resource: string, at: string): Dependency {
  return {
    rule: 'foreign-key',
    region: stack.region,
    step,
    resource,
    what: `it needs a KMS key of ${at}: without that Region, nothing that it encrypts can be read`,
    cure: `Use a key of ${stack.region}, or a multi-Region key with a replica there.`,
    severity: 'error',
  };
}

function oneRegion(stack: PathStack, step: string, resource: string, what: string, at: string): Dependency {
  return {
    rule: 'one-region',
    region: stack.region,
    step,
    resource,
    what: `${what}, so that no failover gets through from here while ${at} is lost`,
    cure: `Keep what the step needs in ${stack.region}, by the same name in every Region, as the constructs do.`,
    severity: 'error',
  };
}

function machinesOf({ template }: PathStack): readonly (readonly [string, Resource])[] {
  return Object.entries(template.Resources ?? {}).filter(
    ([, { Type }]) => Type === 'AWS::StepFunctions::StateMachine',
  );
}

function functionOf({ region, template }: PathStack, name: string): readonly [string, Resource] | undefined {
  return Object.entries(template.Resources ?? {}).find(
    ([, { Type, Properties }]) =>
      Type === 'AWS::Lambda::Function' && textOf(Properties?.FunctionName ?? '', region).endsWith(`-${name}`),
  );
}

/** Names of states with what they call; of none if the definition can't be told before deployment. */
function statesIn(text: string): readonly (readonly [string, string])[] {
  let definition: { States?: Record<string, { Resource?: string }> };
  try {
    definition = JSON.parse(text);
  } catch {
    return [];
  }
  return Object.entries(definition.States ?? {}).map(([name, { Resource = '' }]) => [name, Resource]);
}

type Statement = {
  readonly Effect?: string;
  readonly Action?: Part;
  readonly Resource?: Part;
  readonly Condition?: { readonly StringEquals?: Readonly<Record<string, Part>> };
};

/** Whether a key is used for nothing but to read secrets. */
function isForSecrets(condition: Statement['Condition'], region: string): boolean {
  const services = [condition?.StringEquals?.['kms:ViaService'] ?? []].flat();
  return services.length > 0 && services.every((each) => textOf(each, region).startsWith('secretsmanager.'));
}

function statementsOf({ template }: PathStack, roles: readonly string[]): readonly Statement[] {
  const documents = Object.entries(template.Resources ?? {}).flatMap(([id, { Type, Properties = {} }]) => {
    if (Type === 'AWS::IAM::Policy' && referredTo(Properties.Roles).some((role) => roles.includes(role))) {
      return [Properties.PolicyDocument];
    }
    if (Type === 'AWS::IAM::Role' && roles.includes(id)) {
      return [Properties.Policies ?? []]
        .flat()
        .map((each) => (each as { PolicyDocument: Part }).PolicyDocument);
    }
    return [];
  });
  return documents.flatMap((document) =>
    [(document as { Statement: Statement | Statement[] }).Statement].flat(),
  );
}

/** The Region that an ARN is of; undefined for a global one, and for one that is known only once it is deployed. */
function regionIn(arn: string): string | undefined {
  return /^arn:[^:]+:[^:]+:([a-z]{2,4}(?:-[a-z]+)+-\d):/.exec(arn)?.[1];
}

function otherRegionOf(arn: string, region: string): string | undefined {
  const found = regionIn(arn);
  return found === region ? undefined : found;
}
