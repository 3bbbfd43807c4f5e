# The image of the controller: docker build -t vbs-controller:0.1.0 .
# Nothing of the first stage but the files of the program goes into it: no shell, no package manager. Without an engine: npm run image.
ARG NODE=24.21.0
FROM node:${NODE}-bookworm-slim AS build
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY . .
RUN node scripts/image/rootfs.ts vbs-controller /rootfs

FROM scratch
COPY --from=build /rootfs /
USER 65532:65532
ENTRYPOINT ["/usr/bin/vbs-controller"]
