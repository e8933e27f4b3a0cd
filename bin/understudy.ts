#!/usr/bin/env node
import { runProgram } from '#lib/cli/program.ts';

process.exitCode = await runProgram(process.argv);
