import { tableNames } from '#lib/constructs/names.ts';
import { invalidProp } from '#lib/constructs/prop-error.ts';
import type { RegisterConfig } from '#lib/domain/control/register-config.ts';
import type { GroupId } from '#lib/domain/ids.ts';

/** What a group agrees by on who leads. It is chosen with the group: one that has its leader keeps its register. */
export type Register = 'quorum' | RegisterConfig['kind'];

/** The registers that there are. */
export const Register = {
  /** The control tables of a majority of the Regions, any Regions: the default. */
  quorum: 'quorum',
  /**
   * One DynamoDB global table of multi-Region strong consistency, in a stack of its own: for exactly three Regions, witness
   * included, of one of DynamoDB's Region sets (US, EU, AP). No Region calls another one for it.
   */
  mrsc: 'mrsc',
} as const satisfies Record<Register, Register>;

/** The register that `choice` stands for. Throws CONFIG_INVALID for what is none: whoever writes JavaScript may say anything. */
export function registerOf(choice: Register = 'quorum', group: GroupId): RegisterConfig | undefined {
  switch (choice) {
    case 'quorum':
      return undefined;
    case 'mrsc':
      return { kind: 'mrsc', table: tableNames(group).register };
  }
  throw invalidProp(
    'register',
    `${JSON.stringify(choice)} is not a register`,
    'Use Register.quorum or Register.mrsc.',
  );
}
