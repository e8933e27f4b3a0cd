import list from '#lib/domain/cost/prices.json' with { type: 'json' };

export type PriceId = keyof typeof list.prices;

/** The published prices that a bill is reckoned by, with the date of the list and the source of each line. */
export const PRICES: {
  readonly asOf: string;
  readonly region: string;
  readonly note: string;
  readonly prices: Readonly<
    Record<
      PriceId,
      {
        readonly usd: number;
        /** Units that `usd` buys. */
        readonly per: number;
        readonly unit: string;
        readonly page: string;
        /** Where the figure was read; null if it could not be verified. */
        readonly source: { readonly page: string; readonly date: string } | null;
      }
    >
  >;
} = list;

/** One line of a bill, for a month. */
export type BillLine = {
  readonly service: string;
  readonly region: string;
  readonly what: string;
  readonly quantity: number;
  readonly unit: string;
  /** Of one unit, USD. */
  readonly unitPrice: number;
  readonly usd: number;
};

export function lineOf(
  service: string,
  region: string,
  what: string,
  quantity: number,
  price: PriceId,
): BillLine {
  const { per, unit, usd } = PRICES.prices[price];
  return { service, region, what, quantity, unit, unitPrice: usd / per, usd: (quantity * usd) / per };
}

export function totalOf(lines: readonly BillLine[]): number {
  return lines.reduce((sum, { usd }) => sum + usd, 0);
}
