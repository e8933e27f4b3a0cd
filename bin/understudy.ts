#!/usr/bin/env node
import { runProgram } from '#lib/cli/program.ts';

process.exitCode = await runProgram(process.argv);
// A Region that hangs may still owe an answer that nobody waits for any more.
process.stdout.write('', () => process.exit());
