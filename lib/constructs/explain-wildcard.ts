import { Stack, Validations } from 'aws-cdk-lib';
import type { IConstruct } from 'constructs';

/** Writes down why a policy of `construct` has a wildcard: cdk-nag wants a reason for each such resource. */
export function explainWildcard(construct: IConstruct, resource: string, reason: string): void {
  const id = `AwsSolutions-IAM5[Resource::${flat(Stack.of(construct).resolve(resource))}]`;
  Validations.of(construct).acknowledge({ id, reason });
}

type Join = { readonly 'Fn::Join': readonly [separator: string, parts: readonly unknown[]] };
type GetAtt = { readonly 'Fn::GetAtt': readonly [id: string, attribute: string] };

/** A resource as cdk-nag spells it: what CloudFormation fills in stands in angle brackets. */
function flat(value: unknown): string {
  if (typeof value === 'string') return value;
  const part = value as Partial<Join & GetAtt & { readonly Ref: string }>;
  if (part['Fn::Join'] !== undefined) {
    const [separator, parts] = part['Fn::Join'];
    return parts.map(flat).join(separator);
  }
  if (part['Fn::GetAtt'] !== undefined) return `<${part['Fn::GetAtt'].join('.')}>`;
  return `<${part.Ref}>`;
}
