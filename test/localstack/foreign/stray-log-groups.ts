import {
  CloudWatchLogsClient,
  DeleteLogGroupCommand,
  paginateDescribeLogGroups,
} from '@aws-sdk/client-cloudwatch-logs';
import type { Group } from '../group.ts';

/**
 * Deletes the log groups that emulators make anew for functions that end after their stack; at AWS the functions' roles
 * do not allow it. Answers how many there were.
 */
export async function deleteStrayLogGroups(group: Group): Promise<number> {
  let count = 0;
  for (const region of [...group.regions, ...group.removed]) {
    const client = new CloudWatchLogsClient({ region });
    const names: string[] = [];
    for await (const { logGroups = [] } of paginateDescribeLogGroups({ client }, {})) {
      names.push(...logGroups.map(({ logGroupName = '' }) => logGroupName));
    }
    for (const logGroupName of names.filter((name) => name.includes(group.id))) {
      await client.send(new DeleteLogGroupCommand({ logGroupName }));
      count += 1;
    }
    client.destroy();
  }
  return count;
}
