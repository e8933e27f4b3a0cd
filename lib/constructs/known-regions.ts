import { RegionInfo } from 'aws-cdk-lib/region-info';
import { invalidProp } from '#lib/constructs/prop-error.ts';

/** Throws CONFIG_INVALID unless AWS has all these Regions, and one account can be in all of them. */
export function refuseUnknownRegions(
  named: readonly { readonly prop: string; readonly region: string }[],
): void {
  const known = new Map(RegionInfo.regions.map(({ name, partition }) => [name, partition]));
  const [first] = named;
  for (const { prop, region } of named) {
    const partition = known.get(region);
    if (partition === undefined) {
      throw invalidProp(
        prop,
        `AWS has no Region ${region}, as far as the installed aws-cdk-lib knows`,
        `Correct it; if it is a new one, update aws-cdk-lib. ${near(region, [...known.keys()])}`.trim(),
      );
    }
    const home = known.get(first!.region);
    if (partition !== home) {
      throw invalidProp(
        prop,
        `${region} is of partition ${partition}, and ${first!.region} of ${home}: no account is in both`,
        'Take all Regions from one partition.',
      );
    }
  }
}

/** Regions of the same area, as a hint. */
function near(region: string, known: readonly string[]): string {
  const area = region.replace(/-?\d*$/, '');
  const names = known.filter((name) => name.startsWith(area));
  return names.length === 0 ? '' : `There are ${names.join(', ')}.`;
}
