import type { DrillReport } from '#lib/domain/control/drill.ts';

/** Where the evidence of scheduled drills is kept, each thing written once. */
export interface DrillEvidence {
  /** `exists`: a drill of that name has begun before. What was begun and has no report did not reach its end. */
  begin(due: string, atMs: number): Promise<'begun' | 'exists'>;
  /**
   * Where the report is to be found. One that is there already stays as it is.
   *
   * @param page the same as HTML, which is put beside it.
   */
  keep(report: DrillReport, page: string): Promise<string>;
}
