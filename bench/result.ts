/** One line of the bench. Goals are texts such as '>= 0.8'; null for a figure that is there to be looked at. */
export type BenchResult = {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly goal: string | null;
};
