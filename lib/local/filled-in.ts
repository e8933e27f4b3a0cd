/** A replacer for JSON.stringify that does what CloudFormation does, as far as templates of ours ask for it here. */
export function filledIn(_: string, value: unknown): unknown {
  const join = (value as { 'Fn::Join'?: [string, readonly unknown[]] } | null)?.['Fn::Join'];
  if (join === undefined) return value;
  const [separator, parts] = join;
  return parts.map((part) => (typeof part === 'string' ? part : partition(part))).join(separator);
}

function partition(value: unknown): string {
  if ((value as { Ref?: string }).Ref === 'AWS::Partition') return 'aws';
  throw new Error(`a template refers to ${JSON.stringify(value)}, which the embedded cloud does not have`);
}
