/* Preloaded into user-mode Linux on processors with more register state than it has room for (AMX: 11 KB, where Linux 6.1
 * keeps some 3). It gets the part that it knows, which comes first; what lies behind stays as it is in the traced process. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

static char whole[1 << 16]; /* one thread traces */

long ptrace(enum __ptrace_request request, ...)
{
    static long (*real)(enum __ptrace_request, pid_t, void *, void *);
    va_list args;
    va_start(args, request);
    pid_t pid = va_arg(args, pid_t);
    void *kind = va_arg(args, void *);
    struct iovec *given = va_arg(args, void *);
    va_end(args);
    if (!real)
        real = (long (*)(enum __ptrace_request, pid_t, void *, void *))dlsym(RTLD_NEXT, "ptrace");
    int set = request == (enum __ptrace_request)PTRACE_SETREGSET;
    if ((!set && request != (enum __ptrace_request)PTRACE_GETREGSET) || (long)kind != NT_X86_XSTATE)
        return real(request, pid, kind, given);
    struct iovec all = {whole, sizeof whole};
    long result = real((enum __ptrace_request)PTRACE_GETREGSET, pid, kind, &all);
    if (result < 0)
        return result;
    if (given->iov_len > all.iov_len)
        given->iov_len = all.iov_len;
    if (set) {
        memcpy(whole, given->iov_base, given->iov_len);
        return real(request, pid, kind, &all);
    }
    memcpy(given->iov_base, whole, given->iov_len);
    return 0;
}
