// In the network of a box, which nobody else is in.

export const NODE_ADDRESS = '10.97.0.1';
export const SERVICE_RANGE = '10.96.0.0/24';
/** Of the Service `kubernetes`, which has the first one of the range. The API server listens there itself, so that no kube-proxy is needed. */
export const API_ADDRESS = '10.96.0.1';
export const POD_RANGE = '10.98.0.0/24';
/** Where a cluster would have its name server. */
export const DNS_ADDRESS = '10.96.0.10';
