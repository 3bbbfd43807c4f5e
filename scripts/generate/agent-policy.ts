// The policies which keep every host to its own blocks of its own objects. Classes, which hosts never write, are closed
// by RBAC alone.
import type { Crd } from '../generate.ts';
import { type AgentBlock, onObject, onStatus, type Policy, same, statusFieldsOf } from './admission.ts';

const HOST_USERS = 'system:serviceaccount:vbs-host-';

function statusValidations(crd: Crd, blocks: readonly AgentBlock[]) {
  return statusFieldsOf(crd).map((field) => {
    const unchanged = same(`status.${field}`);
    const open = blocks.find(({ block }) => block === field);
    if (open === undefined) {
      return { expression: unchanged, message: `status.${field} is written by the controller only` };
    }
    const mine =
      open.host === 'name'
        ? 'oldObject.metadata.name == variables.host'
        : `${open.host.replace('object', 'oldObject')} == optional.of(variables.host)`;
    return {
      expression: `${unchanged} || ${mine}`,
      message: `status.${field} is written by the host which the object names, and you are another`,
    };
  });
}

function objectValidation(kind: string, blocks: readonly AgentBlock[]) {
  return blocks.some(({ host }) => host === 'name')
    ? {
        expression: [
          "request.operation == 'CREATE'",
          'object.metadata.name == variables.host',
          '!has(object.spec)',
          '!has(object.metadata.finalizers)',
          '!has(object.metadata.ownerReferences)',
        ].join(' && '),
        message: `a host may only create its own ${kind}, named like itself, without a spec, finalizers and owners`,
      }
    : {
        expression: 'false',
        message: `a host may not create, change or delete a ${kind}, only report in its status`,
      };
}

export const agentPolicy = (crd: Crd, blocks: readonly AgentBlock[]): Policy => ({
  name: `vbs-agents-${crd.spec.names.plural}`,
  plural: crd.spec.names.plural,
  operations: ['CREATE', 'UPDATE', 'DELETE'],
  matchCondition: {
    name: 'is-a-host-agent',
    expression: `request.userInfo.username.startsWith('${HOST_USERS}')`,
  },
  variables: [
    {
      name: 'host',
      expression: `request.userInfo.username.substring(${HOST_USERS.length}).split(':')[0]`,
    },
  ],
  validations: [
    onObject(objectValidation(crd.spec.names.kind, blocks)),
    ...statusValidations(crd, blocks).map(onStatus),
  ],
});
