import { runSeed } from './test/sim/run-seed.ts';
let o = 0, e = 0; const big: [number, number][] = [];
for (let s = 1; s <= 60; s++) { const a = process.cpuUsage(); await runSeed({ seed: s, hours: 1 }); const d = process.cpuUsage(a).user / 1000; if (s % 2) o += d; else e += d; big.push([s, Math.round(d)]); }
console.log('odd', Math.round(o), 'even', Math.round(e), big.sort((a, b) => b[1] - a[1]).slice(0, 8).map(x => x.join(':')).join(' '));
