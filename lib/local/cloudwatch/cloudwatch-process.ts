/** Entry point of the process of a Region's CloudWatch. Arguments: port, file of the alarms, length of a minute ms. */
import { readFile } from 'node:fs/promises';
import * as z from 'zod';
import { ApiServer } from '#lib/local/api-server.ts';
import { compositeAlarm, metricAlarm } from '#lib/local/cloudwatch/alarm-definition.ts';
import { CloudWatchApi } from '#lib/local/cloudwatch/cloudwatch-api.ts';
import { LocalCloudWatch } from '#lib/local/cloudwatch/local-cloudwatch.ts';
import { serveParent } from '#lib/local/parent.ts';

const [port, file, minuteMs] = process.argv.slice(2);
if (minuteMs === undefined || file === undefined) {
  throw new TypeError('usage: cloudwatch-process.ts PORT FILE MINUTE_MS');
}
const definitions = z.object({ metric: z.array(metricAlarm), composite: z.array(compositeAlarm) });
const alarms = definitions.parse(JSON.parse(await readFile(file, 'utf8')));
const cloudwatch = new LocalCloudWatch({ alarms, minuteMs: Number(minuteMs), now: () => Date.now() });
await ApiServer.open(Number(port), new CloudWatchApi(cloudwatch));
serveParent();
