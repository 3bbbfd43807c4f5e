// Xen itself, with a guest of its own, under the checks that its stand-in is put to in the unit tests.

import { contract } from '../../contracts/check.ts';
import { realXen } from '../../contracts/real/vmm.ts';
import { vmmChecks, xenChecks } from '../../contracts/vmm.ts';
import { LabGuest } from '../../harness/lab/guest.ts';
import { XEN_HOST } from '../../harness/lab/machines.ts';
import { openTools } from '../../harness/lab/tools.ts';

const PLAN = { name: 'tools-guest', uuid: '5c0f6c0e-7a4e-4c0b-9a55-0a2c7b0a4444' };
const machines = await openTools();
const { ssh } = machines.get(XEN_HOST);

const xen = contract('Xen', [...vmmChecks, ...xenChecks], () => realXen(ssh, new LabGuest(ssh, 'xen', PLAN)));
xen.run();
machines.afterwards.run();
