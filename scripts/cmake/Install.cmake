# Install tree and the package that find_package(wkv) reads.
