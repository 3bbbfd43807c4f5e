# The images: docker build --platform linux/amd64 -t vbs-controller:0.1.0 . and the same with --target vbs-node-agent -t vbs-node-agent:0.1.0
# Nothing of the first stage but the files of the program goes into them: no shell, no package manager. Without an engine: npm run image.
ARG NODE=24.21.0
FROM node:${NODE}-bookworm-slim AS build
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY . .
RUN node scripts/image/rootfs.ts vbs-controller /vbs-controller && node scripts/image/rootfs.ts vbs-node-agent /vbs-node-agent

FROM scratch AS vbs-node-agent
COPY --from=build /vbs-node-agent /
ENV PATH=/usr/bin
USER 0:0
ENTRYPOINT ["/usr/bin/vbs-node-agent"]

FROM scratch AS vbs-controller
COPY --from=build /vbs-controller /
ENV PATH=/usr/bin
USER 65532:65532
ENTRYPOINT ["/usr/bin/vbs-controller"]
