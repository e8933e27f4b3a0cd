/** A part of a CloudFormation template: literals and intrinsic functions. */
export type Part = unknown;

/**
 * What a value of a template comes to in a Region, as far as it is known before deployment: `${…}` stands for the rest.
 *
 * @param region for `AWS::Region`.
 */
export function textOf(value: Part, region: string): string {
  if (typeof value === 'string') return value;
  if (typeof value !== 'object' || value === null) return String(value);
  const [name, argument] = Object.entries(value)[0] ?? [];
  if (name === 'Fn::Join') {
    const [separator, parts] = argument as [string, readonly Part[]];
    return parts.map((part) => textOf(part, region)).join(separator);
  }
  if (name === 'Fn::Sub') {
    const text = Array.isArray(argument) ? String(argument[0]) : String(argument);
    return text.replaceAll(/\$\{AWS::Region\}/g, region).replaceAll(/\$\{AWS::Partition\}/g, 'aws');
  }
  if (name === 'Ref' && argument === 'AWS::Region') return region;
  if (name === 'Ref' && argument === 'AWS::Partition') return 'aws';
  return `\${${Array.isArray(argument) ? argument.join('.') : String(argument)}}`;
}

/** The logical ids of the resources that a value refers to. */
export function referredTo(value: Part): readonly string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, argument]) => {
    if (name === 'Ref') return [String(argument)];
    if (name === 'Fn::GetAtt') return [String([argument].flat()[0])];
    return referredTo(argument);
  });
}
