import { bucketName } from '#lib/constructs/bucket-name.ts';
import { tableNames } from '#lib/constructs/names.ts';
import type { Place } from '#lib/constructs/place.ts';

/** What every function knows of its group and Region, as `readConfig` of lib/aws/config.ts takes it. */
export function settingsOf({ config, region, account, objectLock }: Place) {
  const { log, control } = tableNames(config.group);
  return {
    group: config.group,
    region,
    engine: config.engine,
    regions: config.regions.map((each) => ({
      ...each,
      bucket: bucketName(config.group, account, each.name),
    })),
    witnesses: config.witnesses,
    ...(config.register && { register: config.register }),
    logTable: log,
    controlTable: control,
    // What can't be deleted is an object: nothing locks an item of a table.
    ...(objectLock !== undefined && { locksSegments: true }),
  };
}
