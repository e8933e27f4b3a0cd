import { workflowName } from '#lib/constructs/names.ts';
import { drillPage } from '#lib/usecases/control/drill-page.ts';
import { layoutOf } from './graph-layout.ts';
import { graphPicture } from './graph-picture.ts';
import { pagePicture } from './page-picture.ts';
import { panelPicture } from './panel-picture.ts';
import { progressOf, untilEntered } from './progress.ts';
import { definitionOf, type Recording } from './recording.ts';
import { tablePicture } from './table-picture.ts';

/** The state whose output is shown whole. */
const SHOWN = 'Hand over';

/** Px that the report takes. What it does not need is left free. */
const PAGE = { width: 1100, height: 2110 };

/** Each picture by its file's name: of the workflow as it is now, and of what was recorded. */
export function draw(recording: Recording): Readonly<Record<string, string>> {
  const { drill, group, refused, region } = recording;
  const definition = definitionOf(recording);
  const layout = layoutOf(definition);
  const machine = workflowName(group);
  const waiting = progressOf(untilEntered(drill.events, 'Approve'));
  const shown = drill.events.find((event) => event.kind === 'left' && event.state === SHOWN);
  if (shown?.kind !== 'left') throw new Error(`the run ${drill.name} never left ${SHOWN}`);
  const failure = refused.events.at(-1)!;
  if (failure.kind !== 'failed') throw new Error(`the run ${refused.name} did not fail`);
  return {
    'start.svg': panelPicture({
      title: 'Start execution',
      about: 'What is typed: a name, and the input.',
      fields: [
        ['Region', region],
        ['State machine', machine],
        ['Name', drill.name],
      ],
      document: ['Input', drill.input],
    }),
    'waiting.svg': graphPicture(
      layout,
      waiting,
      { title: `${drill.name}: running`, about: 'It waits for a person. Nothing has been touched so far.' },
      'part',
    ),
    'done.svg': graphPicture(
      layout,
      progressOf(drill.events),
      {
        title: `${drill.name}: succeeded`,
        about: 'All states of the workflow. The green ones with a tick were run; the others were not needed.',
      },
      'whole',
    ),
    'states.svg': tablePicture(definition, drill, {
      title: `${drill.name}: its states in time`,
      about: 'When each was entered after the start, for how long, and what came of it.',
    }),
    'output.svg': panelPicture({
      title: `${drill.name}: the state ${SHOWN}`,
      about: 'What one reads when one clicks it.',
      fields: [['Status', 'succeeded']],
      document: [`Output, under "${shown.step}"`, shown.output],
    }),
    'refused.svg': graphPicture(
      layout,
      progressOf(refused.events),
      { title: `${refused.name}: failed, ${failure.error}`, about: failure.cause },
      'part',
    ),
    'report.svg': pagePicture(drillPage(recording.report), PAGE),
  };
}
