# The machine code of sandbox/snapshot_code.py (x86_64): a fork whose child goes on later, out of a file.
#
#   as -o snapshot.o snapshot.s && objcopy -O binary -j .text snapshot.o snapshot.bin
#
# `state` is the page after this code; snapshot_code.py names what is in it.

        .intel_syntax noprefix
        .set STACK, 0           # the stack pointer of who has called fork_later
        .set BEGIN, 8           # that with which the kernel has started us: argc, argv, envp, auxv
        .set TID, 16            # where libc has the thread's id, and what its FS points at
        .set THREAD, 24
        .set BREAK, 32          # libc's __curbrk and environ
        .set ENVIRON, 40
        .set IGNORED, 48        # the signals that our caller has ignored
        .set VDSO_BYTES, 56     # the vDSO as it was, and its length
        .set VDSO, 64
        .set OLD_TO, 72         # the end of the first stack as it was: where to, where from, and its length
        .set OLD_FROM, 80
        .set OLD_BYTES, 88
        .set SHELL, 96          # what starts as usual, and the variable that says so
        .set PLAIN, 104
        .set FEATURES, 136      # what the processor was, and is: 8 numbers of 4 bytes each
        .set NOW, 168
        .set TABLE, 200         # a count, pairs (address, offset in the vDSO); a count, pairs (address, length)

        .text
fork_later:                     # (rdi: state) -> as fork(): the child's PID, or 0 where it goes on
        push rbx
        push rbp
        push r12
        push r13
        push r14
        push r15
        mov [rdi + STACK], rsp
        mov eax, 57             # fork
        syscall
        test eax, eax
        jnz leave
        mov edi, 1              # its memory is read meanwhile: prctl(PR_SET_PDEATHSIG, SIGKILL), and alarm, so that it
        mov esi, 9              # does not wait for ever
        mov eax, 157
        syscall
        mov edi, 60
        mov eax, 37
        syscall
wait:   mov eax, 34             # pause
        syscall
        jmp wait
go_on:  xor eax, eax
leave:  pop r15
        pop r14
        pop r13
        pop r12
        pop rbp
        pop rbx
        ret

        .balign 16
features:                       # (rdi: 32 bytes) what programs ask the processor for: cpuid 1, 7 and 13
        push rbx
        mov eax, 1
        xor ecx, ecx
        cpuid
        mov [rdi], eax
        mov [rdi + 4], ecx
        mov [rdi + 8], edx
        mov eax, 7
        xor ecx, ecx
        cpuid
        mov [rdi + 12], ebx
        mov [rdi + 16], ecx
        mov [rdi + 20], edx
        mov eax, 13
        xor ecx, ecx
        cpuid
        mov [rdi + 24], eax
        mov [rdi + 28], ebx
        pop rbx
        ret

        .balign 16
start:                          # where the kernel begins
        lea rbx, [rip + fork_later + 4096]
        mov [rbx + BEGIN], rsp
        mov rax, [rsp]
        lea rdi, [rsp + rax * 8 + 16]
        mov rcx, [rbx + ENVIRON]
        mov [rcx], rdi
env:    mov rax, [rdi]          # behind the environment is the auxiliary vector: 33, where the vDSO is
        add rdi, 8
        test rax, rax
        jnz env
        xor ebp, ebp
aux:    mov rax, [rdi]
        mov rcx, [rdi + 8]
        add rdi, 16
        cmp rax, 33
        cmove rbp, rcx
        test rax, rax
        jnz aux
        test rbp, rbp
        jz other
        mov rdi, rbp            # another kernel, another processor: start as usual
        mov rsi, [rbx + VDSO]
        mov rcx, [rbx + VDSO_BYTES]
        repe cmpsb
        jne other
        lea rdi, [rbx + NOW]
        call features
        lea rdi, [rbx + NOW]
        lea rsi, [rbx + FEATURES]
        mov ecx, 32
        repe cmpsb
        jne other
        lea r12, [rbx + TABLE]  # the addresses of the vDSO's functions
        mov rcx, [r12]
        add r12, 8
words:  test rcx, rcx
        jz empty
        mov rdi, [r12]
        mov rax, [r12 + 8]
        add rax, rbp
        mov [rdi], rax
        add r12, 16
        dec rcx
        jmp words
empty:  mov r13, [r12]          # what was empty: mmap
        add r12, 8
maps:   test r13, r13
        jz first
        mov rdi, [r12]
        mov rsi, [r12 + 8]
        call map
        cmp rax, [r12]
        jne other
        add r12, 16
        dec r13
        jmp maps
first:  mov rdi, [rbx + OLD_TO] # libc finds the auxiliary vector there; where something is already, it is not read
        mov rsi, [rbx + OLD_BYTES]
        call map
        mov rdi, [rbx + OLD_TO]
        cmp rax, rdi
        jne asked
        mov rsi, [rbx + OLD_FROM]
        mov rcx, [rbx + OLD_BYTES]
        rep movsb
asked:  xor r12d, r12d          # which signals are ignored: rt_sigaction
        mov r13d, 64
        sub rsp, 32
signal: mov edi, r13d
        xor esi, esi
        mov rdx, rsp
        mov r10d, 8
        mov eax, 13
        syscall
        shl r12
        cmp qword ptr [rsp], 1
        jne taken
        or r12, 1
taken:  dec r13d
        jnz signal
        mov [rbx + IGNORED], r12
        xor edi, edi            # brk
        mov eax, 12
        syscall
        mov rdi, [rbx + BREAK]
        mov [rdi], rax
        mov rdi, [rbx + TID]    # set_tid_address
        mov eax, 218
        syscall
        mov rdi, [rbx + TID]
        mov [rdi], eax
        mov rsi, [rbx + THREAD]     # arch_prctl(ARCH_SET_FS)
        mov edi, 0x1002
        mov eax, 158
        syscall
        mov rsp, [rbx + STACK]
        jmp go_on

map:                            # (rdi: address, rsi: bytes) private, anonymous, not reserved, in nobody's place
        mov edx, 3
        mov r10d, 0x104022
        mov r8, -1
        xor r9d, r9d
        mov eax, 9
        syscall
        ret

other:                          # execve of sh with our arguments, the script and its own, and one variable more: one place
        mov rsi, [rbx + BEGIN]  # to the left is room for all of them
        mov rcx, [rsi]
        mov r8, rsi
        lea rax, [rbx + SHELL]
        mov [rsi], rax
        lea rdi, [rsi + 8]
        add rsi, 16
        rep movsq
        lea rax, [rbx + PLAIN]
        mov [rdi], rax
        mov rdx, rdi
        lea rdi, [rbx + SHELL]
        mov rsi, r8
        mov eax, 59
        syscall
        mov edi, 126            # exit_group
        mov eax, 231
        syscall
