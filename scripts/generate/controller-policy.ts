// The policies which keep the controller to what is its own: finalizers, and those status fields which no host writes.
import { SYSTEM_NAMESPACE } from '../../api/names.ts';
import type { Crd } from '../generate.ts';
import { type AgentBlock, onObject, onStatus, type Policy, same } from './admission.ts';

const PEOPLES = ['spec', 'metadata.labels', 'metadata.annotations', 'metadata.ownerReferences'];

export const controllerPolicy = (crd: Crd, blocks: readonly AgentBlock[]): Policy => ({
  name: `vbs-controller-${crd.spec.names.plural}`,
  plural: crd.spec.names.plural,
  operations: ['CREATE', 'UPDATE', 'DELETE'],
  matchCondition: {
    name: 'is-the-controller',
    expression: `request.userInfo.username == 'system:serviceaccount:${SYSTEM_NAMESPACE}:vbs-controller'`,
  },
  validations: [
    onObject({
      expression: ["request.operation == 'UPDATE'", ...PEOPLES.map((path) => `(${same(path)})`)].join(' && '),
      message: `the controller writes only the finalizers and the status of a ${crd.spec.names.kind}`,
    }),
    ...blocks.map(({ block }) =>
      onStatus({ expression: same(`status.${block}`), message: `status.${block} is written by a host only` }),
    ),
  ],
});
