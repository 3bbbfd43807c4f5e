// What a guest gets from its disk, in the lab: Bonnie++ (as in the paper's Table 1) and fio in a guest of Xen on a disk of each place, fio on
// the same disk in Dom0, on the server's own device, and the wire between the two; all in one run of the same machines, whose disks are not
// cached by this one. --write puts the tables and the picture into docs/.
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { openLab } from '../../test/harness/lab/lab.ts';
import { emulationPackages } from '../../test/harness/lab/packages.ts';
import { ensurePackages } from '../../test/harness/packages.ts';
import { bench } from './bench.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const PAGE = path.join(ROOT, 'docs', 'data-path.md');
const PICTURE = path.join(ROOT, 'docs', 'data-path.svg');
const log = (line: string) => process.stdout.write(`# ${line}\n`);

const putIntoPage = async (report: string): Promise<void> => {
  const [begin, end] = ['<!-- figures: npm run bench:lab -- --write -->', '<!-- end of figures -->'];
  const page = await readFile(PAGE, 'utf8');
  const [before, after] = [page.indexOf(begin), page.indexOf(end)];
  if (before < 0 || after < before) {
    throw new Error(`${path.relative(ROOT, PAGE)} has no place for figures`);
  }
  await writeFile(PAGE, `${page.slice(0, before)}${begin}\n\n${report}\n\n${page.slice(after)}`);
};

const { values } = parseArgs({ options: { write: { type: 'boolean', default: false } } });
await ensurePackages(emulationPackages, log);
const lab = await openLab({ log, keep: false, bench: true });
let failed = true;
try {
  const { tables, picture } = await bench(lab);
  process.stdout.write(`${tables}\n`);
  if (values.write) {
    await writeFile(PICTURE, picture);
    await putIntoPage(tables);
  }
  failed = false;
} finally {
  await lab.close(failed);
}
