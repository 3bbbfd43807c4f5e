// LIO on a volume server and open-iscsi on a hypervisor, under the checks that their stand-ins are put to in the unit tests.

import { contract } from '../../contracts/check.ts';
import { initiatorChecks } from '../../contracts/initiator.ts';
import { type Machines, realLio, realOpenIscsi } from '../../contracts/real/iscsi.ts';
import { lioChecks, targetChecks } from '../../contracts/target.ts';
import { LIO_SERVER } from '../../harness/lab/lab.ts';
import { LIBVIRT_HOST } from '../../harness/lab/machines.ts';
import { openTools } from '../../harness/lab/tools.ts';

const machines = await openTools();
const server = machines.get(LIO_SERVER);
const both: Machines = {
  server: server.ssh,
  client: machines.get(LIBVIRT_HOST).ssh,
  address: server.plan.address,
};

const lio = contract('LIO', [...targetChecks, ...lioChecks], () => realLio(both));
const openIscsi = contract('open-iscsi', initiatorChecks, () => realOpenIscsi(both));
lio.run();
openIscsi.run();
machines.afterwards.run();
