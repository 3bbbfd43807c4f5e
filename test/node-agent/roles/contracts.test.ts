// The stand-ins of the outside tools under the checks that the tools themselves are put to in the lab (test/lab/trouble/tools-*.test.ts).

import { contract } from '../../contracts/check.ts';
import { initiatorChecks } from '../../contracts/initiator.ts';
import { playedOpenIscsi } from '../../contracts/played/initiator.ts';
import { playedPool } from '../../contracts/played/pool.ts';
import { playedLio } from '../../contracts/played/target.ts';
import { playedXen } from '../../contracts/played/vmm.ts';
import { thickChecks, thinChecks } from '../../contracts/pool.ts';
import { lioChecks, targetChecks } from '../../contracts/target.ts';
import { vmmChecks, xenChecks } from '../../contracts/vmm.ts';

const thick = contract('the stand-in of LVM, thick', thickChecks, () => playedPool('lvm-thick'));
const thin = contract('the stand-in of LVM, thin', thinChecks, () => playedPool('lvm-thin'));
const lio = contract('the stand-in of LIO', [...targetChecks, ...lioChecks], () => playedLio());
const openIscsi = contract('the stand-in of open-iscsi', initiatorChecks, () => playedOpenIscsi());
const xen = contract('the stand-in of Xen', [...vmmChecks, ...xenChecks], () => playedXen());

thick.run();
thin.run();
lio.run();
openIscsi.run();
xen.run();
