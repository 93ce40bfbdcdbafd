/* A whole program for a Cortex-M board of the MPS2 family: start-up code and a loop that reads
   windows.bin and writes answers.bin on the host by semihosting ("Semihosting for AArch32 and
   AArch64", Arm), counting time and stack of every call. */
#include <stddef.h>
#include <stdint.h>

#include "student.h"

#define PAINT 0xA5C3F00Du
#define CPACR (*(volatile uint32_t *)0xE000ED88u) /* coprocessor access: the FPU */
#define TIMER ((volatile uint32_t *)0x40000000u) /* CMSDK timer 0: control, value, reload */

enum { SYS_OPEN = 0x01, SYS_WRITE0 = 0x04, SYS_WRITE = 0x05, SYS_READ = 0x06, SYS_EXIT = 0x18 };
enum { EXIT_WELL = 0x20026, EXIT_ILL = 0x20023 };
enum { READ_BINARY = 1, WRITE_BINARY = 5 };

/* From the linker script. */
extern uint32_t data_load[], data_start[], data_end[], bss_start[], bss_end[];
extern uint32_t stack_limit[], stack_top[];

static student_workspace workspace;
static float window[STUDENT_CHANNELS * STUDENT_SAMPLES];
static struct {
    uint32_t ticks, stack_bytes;
    float logits[STUDENT_CLASSES], probabilities[STUDENT_CLASSES];
} answer;

static uint32_t host(uint32_t operation, uintptr_t argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register uintptr_t r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void fail(const char *why)
{
    host(SYS_WRITE0, (uintptr_t)why);
    host(SYS_EXIT, EXIT_ILL);
}

static uint32_t open_file(const char *name, uint32_t length, uint32_t mode)
{
    const uintptr_t block[] = {(uintptr_t)name, mode, length};
    const uint32_t file = host(SYS_OPEN, (uintptr_t)block);
    if (file == UINT32_MAX)
        fail("a file cannot be opened");
    return file;
}

/* How many bytes were not read or written. */
static uint32_t transfer(uint32_t operation, uint32_t file, const void *bytes, uint32_t length)
{
    const uintptr_t block[] = {file, (uintptr_t)bytes, length};
    return host(operation, (uintptr_t)block);
}

/* Paints the free stack, runs the student, and looks how far down the paint is gone. */
static void run(void)
{
    uint32_t *top;
    volatile uint32_t *word;
    uint32_t start;

    __asm__ volatile("mov %0, sp" : "=r"(top));
    for (word = stack_limit; word < top; word++)
        *word = PAINT;

    start = TIMER[1];
    student_predict(&workspace, window, answer.logits, answer.probabilities);
    answer.ticks = start - TIMER[1]; /* it counts down */

    for (word = stack_limit; *word == PAINT && word < top; word++) {
    }
    if (word == stack_limit)
        fail("more stack than the linker script gives");
    answer.stack_bytes = (uint32_t)((uintptr_t)top - (uintptr_t)word);
}

static void reset(void)
{
    static const uint32_t shape[] = {STUDENT_SAMPLES, STUDENT_CLASSES};
    uint32_t *from, *to, windows, answers;

    CPACR |= 0xFu << 20;
    for (from = data_load, to = data_start; to < data_end; from++, to++)
        *to = *from;
    for (to = bss_start; to < bss_end; to++)
        *to = 0;
    TIMER[2] = TIMER[1] = UINT32_MAX;
    TIMER[0] = 1;

    windows = open_file("windows.bin", 11, READ_BINARY);
    answers = open_file("answers.bin", 11, WRITE_BINARY);
    transfer(SYS_WRITE, answers, shape, sizeof shape);
    while (transfer(SYS_READ, windows, window, sizeof window) == 0) {
        run();
        if (transfer(SYS_WRITE, answers, &answer, sizeof answer) != 0)
            fail("answers.bin cannot be written");
    }
    host(SYS_EXIT, EXIT_WELL);
}

static void fault(void)
{
    fail("a fault of the processor");
}

__attribute__((section(".vectors"), used)) static void (*const vectors[])(void) = {
    (void (*)(void))stack_top, reset, fault, fault, fault, fault, fault,
};

/* The compiler may call these two even for a program without a library. */
__attribute__((optimize("no-tree-loop-distribute-patterns"))) void *
memcpy(void *restrict to, const void *restrict from, size_t length)
{
    size_t i;
    for (i = 0; i < length; i++)
        ((unsigned char *)to)[i] = ((const unsigned char *)from)[i];
    return to;
}

__attribute__((optimize("no-tree-loop-distribute-patterns"))) void *
memset(void *to, int value, size_t length)
{
    size_t i;
    for (i = 0; i < length; i++)
        ((unsigned char *)to)[i] = (unsigned char)value;
    return to;
}
