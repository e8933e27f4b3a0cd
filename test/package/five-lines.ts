import { PutItemCommand } from '@aws-sdk/client-dynamodb';
import { connectLeader } from 'understudy/client';

const orders = connectLeader({ group: 'orders', name: 'orders.example.com', ttlSeconds: 5 });
const put = new PutItemCommand({ TableName: 'orders', Item: { pk: { S: '1' }, total: { N: '42' } } });
await orders.write((dynamodb, abortSignal) => dynamodb.send(put, { abortSignal }), { idempotent: true });
