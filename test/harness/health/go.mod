// What GitOps tools make of objects, from pinned modules.
module vbs.dev/health

go 1.26.0
