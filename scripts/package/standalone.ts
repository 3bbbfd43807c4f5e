// Where the executable of the control plane's package begins: it is the command, and under the controller's name the controller. One file,
// because each would hold the whole of Node.
import path from 'node:path';
import { main as controlPlane } from '../../control-plane/main.ts';
import { main as controller } from '../../controller/main.ts';
import { runMain } from '../../runtime/executable.ts';

const main = path.basename(process.argv0) === 'vbs-controller' ? controller : controlPlane;
runMain(() => main(process.argv.slice(2)));
