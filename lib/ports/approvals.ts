import type { FailoverInput } from '#lib/domain/control/failover.ts';

export type Approval = { readonly outcome: 'approved' | 'denied'; readonly by: string };

/** A run that waits for a person. */
export type PendingApproval = {
  readonly input: FailoverInput;
  /** Unix ms. */
  readonly askedAtMs: number;
};

/** What a Region's workflow asks people, one run at a time: the newest replaces what was asked before. */
export interface Approvals {
  /** Asks for `token`, under which the run waits. Asked again for the same token, it says what was answered. */
  ask(token: string, asked: PendingApproval): Promise<Approval | 'waiting'>;
  pending(): Promise<PendingApproval | undefined>;
  /** Answers for the run of that name and has it go on; 'none' if it does not wait, or no longer. */
  answer(run: string, approval: Approval): Promise<'answered' | 'none'>;
}
