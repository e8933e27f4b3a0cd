import type { RegionId } from '#lib/domain/ids.ts';
import type { EmbeddedCloud } from '#lib/local/embedded-cloud.ts';

/** How a cloud that is left running is reached, and how to write to its leader. */
export function endpointLines(cloud: EmbeddedCloud, leader: RegionId, json: boolean): readonly string[] {
  const { endpoints, engine } = cloud.resources;
  if (json) {
    const table = engine.kind === 'dynamodb' ? { table: engine.table } : {};
    return [JSON.stringify({ kind: 'endpoints', cloud: cloud.file, ...table, endpoints })];
  }
  const servers = Object.entries(endpoints).map(([region, { dynamodb, postgres, s3 }]) => {
    const database = postgres === undefined ? '' : `PostgreSQL ${postgres}, `;
    return `${region}: ${database}DynamoDB ${dynamodb}, S3 ${s3}`;
  });
  return [
    '',
    ...servers,
    '',
    ...writeLines(cloud, leader),
    'Look at it from another terminal: npm run -s understudy -- lag | verify | log ls',
    `The group is described by ${cloud.file}`,
    'Ctrl-C ends it.',
  ];
}

function writeLines(
  { resources: { endpoints, engine } }: EmbeddedCloud,
  leader: RegionId,
): readonly string[] {
  const { credentials, dynamodb, postgres } = endpoints[leader]!;
  if (engine.kind === 'postgres') {
    return [
      `Write to the database of the leader, ${leader}, with any client:`,
      `  psql ${postgres} -c "UPDATE accounts SET balance = balance + 1 WHERE id = 1"`,
    ];
  }
  const example = Object.fromEntries(
    engine.key.map(({ name, type }) => [name, { [type]: type === 'N' ? '1' : 'bXk=' }]),
  );
  return [
    `Write to table ${engine.table} at the leader, ${leader}, with any AWS client:`,
    `  AWS_ACCESS_KEY_ID=${credentials?.accessKeyId} AWS_SECRET_ACCESS_KEY=${credentials?.secretAccessKey} \\`,
    `  aws dynamodb put-item --region ${leader} --endpoint-url ${dynamodb} \\`,
    `    --table-name ${engine.table} --item '${JSON.stringify(example)}'`,
  ];
}
