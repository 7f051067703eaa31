// Package fusefile shows a volume as a file, by the kernel's FUSE protocol, for hosts
// without NBD: a loop device on that file is a block device.
//
// The contract:
//
//  1. Mount puts a file system that is one regular file over an existing file and
//     gives its channel, a descriptor of /dev/fuse. The mount lives as long as
//     anybody has that descriptor open.
//  2. Serve answers requests until the file system is unmounted. A successor in
//     another process serves the same channel with Resume: requests that its
//     predecessor had taken and not answered come again (kernels since 6.9), so that
//     nobody above sees an error.
//     The process that serves the file must not open it with package os.
//  3. Reads and writes go past the page cache, many at a time. fsync is a flush of
//     the volume; punching holes and zeroing ranges work.
package fusefile
