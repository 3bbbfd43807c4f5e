// LVM itself, on a volume server, under the checks that its stand-in is put to in the unit tests.

import { contract } from '../../contracts/check.ts';
import { thickChecks, thinChecks } from '../../contracts/pool.ts';
import { realPool } from '../../contracts/real/pool.ts';
import { LIO_SERVER } from '../../harness/lab/lab.ts';
import { openTools } from '../../harness/lab/tools.ts';

const machines = await openTools();
const { ssh } = machines.get(LIO_SERVER);

const thick = contract('LVM, thick', thickChecks, () => realPool('lvm-thick', ssh));
const thin = contract('LVM, thin', thinChecks, () => realPool('lvm-thin', ssh));
thick.run();
thin.run();
machines.afterwards.run();
