import * as z from 'zod';

/** What a request would do, and who sends it. */
export type Access = { readonly principal: string; readonly action: string; readonly resource: string };

const texts = z.union([z.string(), z.array(z.string())]).transform((each) => [each].flat());
const OPERATORS = [
  'ArnNotEquals',
  'ArnNotLike',
  'ArnEquals',
  'ArnLike',
  'StringEquals',
  'StringNotEquals',
] as const;
const principalArn = z.strictObject({ 'aws:PrincipalArn': texts });

/** What is understood of a policy; what is not is refused when it is put, never passed over when it counts. */
const policySchema = z.strictObject({
  Version: z.string().optional(),
  Id: z.string().optional(),
  Statement: z
    .union([z.array(z.unknown()), z.unknown()])
    .transform((each) => [each].flat())
    .pipe(
      z.array(
        z.strictObject({
          Sid: z.string().optional(),
          Effect: z.enum(['Allow', 'Deny']),
          Principal: z.union([z.literal('*'), z.strictObject({ AWS: texts })]),
          Action: texts,
          Resource: texts,
          Condition: z.partialRecord(z.enum(OPERATORS), principalArn).optional(),
        }),
      ),
    ),
});
export type ResourcePolicy = z.infer<typeof policySchema>;
type Statement = ResourcePolicy['Statement'][number];

/** A policy as it is put. Throws an error that says what of it is not understood. */
export function parsePolicy(text: string): ResourcePolicy {
  const parsed = policySchema.safeParse(JSON.parse(text));
  if (!parsed.success) throw new Error(z.prettifyError(parsed.error));
  return parsed.data;
}

/** True if a statement denies it explicitly: the one thing that no identity's own rights outweigh. */
export function denies(policy: ResourcePolicy, access: Access): boolean {
  return policy.Statement.some((statement) => statement.Effect === 'Deny' && applies(statement, access));
}

function applies({ Principal, Action, Resource, Condition = {} }: Statement, access: Access): boolean {
  const { action, principal, resource } = access;
  return (
    (Principal === '*' || Principal.AWS.some((each) => each === '*' || each === principal)) &&
    Action.some((each) => like(each.toLowerCase(), action.toLowerCase())) &&
    Resource.some((each) => like(each, resource)) &&
    Object.entries(Condition).every(([operator, { 'aws:PrincipalArn': arns }]) => {
      const found = arns.some((each) =>
        operator.startsWith('String') ? each === principal : like(each, principal),
      );
      return operator.includes('Not') ? !found : found;
    })
  );
}

/** `*` stands for any text, `?` for any character, as in the ARN operators and in actions. */
function like(pattern: string, text: string): boolean {
  const escaped = pattern.replace(/[.+^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`^${escaped.replaceAll('*', '.*').replaceAll('?', '.')}$`, 's').test(text);
}
