import { type DynamoDBClient, GetItemCommand, UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import {
  InvalidToken,
  SendTaskSuccessCommand,
  type SFNClient,
  TaskDoesNotExist,
  TaskTimedOut,
} from '@aws-sdk/client-sfn';
import { conditional } from '#lib/aws/dynamo-failure.ts';
import type { FailoverInput } from '#lib/domain/control/failover.ts';
import type { GroupId } from '#lib/domain/ids.ts';
import type { Approval, Approvals, PendingApproval } from '#lib/ports/approvals.ts';

/**
 * Item `<group>#approval` of a Region's control table: `token`, `run`, `input` (JSON), `askedAt`, and once a person
 * has answered, `answer` (JSON). `sfn` is what resumes the run; without it, whoever runs the workflow asks again.
 */
export class SfnApproval implements Approvals {
  readonly #dynamodb: DynamoDBClient;
  readonly #sfn: SFNClient | undefined;
  readonly #group: GroupId;
  readonly #table: string;

  constructor(deps: { dynamodb: DynamoDBClient; sfn: SFNClient | undefined; group: GroupId; table: string }) {
    this.#dynamodb = deps.dynamodb;
    this.#sfn = deps.sfn;
    this.#group = deps.group;
    this.#table = deps.table;
  }

  async ask(token: string, { input, askedAtMs }: PendingApproval): Promise<Approval | 'waiting'> {
    const outcome = await conditional(() =>
      this.#dynamodb.send(
        new UpdateItemCommand({
          TableName: this.#table,
          Key: this.#key,
          UpdateExpression: 'SET #token = :token, run = :run, #input = :input, askedAt = :at REMOVE answer',
          ConditionExpression: 'attribute_not_exists(#token) OR #token <> :token',
          ExpressionAttributeNames: { '#token': 'token', '#input': 'input' },
          ExpressionAttributeValues: {
            ':token': { S: token },
            ':run': { S: input.run },
            ':input': { S: JSON.stringify(input) },
            ':at': { N: `${askedAtMs}` },
          },
          ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
        }),
      ),
    );
    const answer = outcome.kind === 'refused' ? outcome.item?.answer?.S : undefined;
    return answer === undefined ? 'waiting' : (JSON.parse(answer) as Approval);
  }

  async pending(): Promise<PendingApproval | undefined> {
    const { Item } = await this.#dynamodb.send(
      new GetItemCommand({ TableName: this.#table, Key: this.#key, ConsistentRead: true }),
    );
    if (Item?.input?.S === undefined || Item.answer !== undefined) return undefined;
    return { input: JSON.parse(Item.input.S) as FailoverInput, askedAtMs: Number(Item.askedAt?.N) };
  }

  async answer(run: string, approval: Approval): Promise<'answered' | 'none'> {
    const outcome = await conditional(() =>
      this.#dynamodb.send(
        new UpdateItemCommand({
          TableName: this.#table,
          Key: this.#key,
          UpdateExpression: 'SET answer = :answer',
          // Said twice, the same is said: what got lost may have been the call that resumes the run.
          ConditionExpression: 'run = :run AND (attribute_not_exists(answer) OR answer = :answer)',
          ExpressionAttributeValues: { ':run': { S: run }, ':answer': { S: JSON.stringify(approval) } },
          ReturnValues: 'ALL_NEW',
        }),
      ),
    );
    if (outcome.kind === 'refused') return 'none';
    return this.#resume(outcome.result.Attributes?.token?.S ?? '', approval);
  }

  async #resume(token: string, approval: Approval): Promise<'answered' | 'none'> {
    try {
      await this.#sfn?.send(
        new SendTaskSuccessCommand({ taskToken: token, output: JSON.stringify(approval) }),
      );
      return 'answered';
    } catch (error) {
      const over = [TaskTimedOut, TaskDoesNotExist, InvalidToken].some((type) => error instanceof type);
      if (over) return 'none';
      throw error;
    }
  }

  get #key() {
    return { id: { S: `${this.#group}#approval` } };
  }
}
