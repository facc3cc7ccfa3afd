// Loads, stores, atomics, packets, byte order, loops, tables, calls and far jumps.
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))

unsigned long long load_byte(void *skb, unsigned long long off) asm("llvm.bpf.load.byte");
unsigned long long load_half(void *skb, unsigned long long off) asm("llvm.bpf.load.half");
unsigned long long load_word(void *skb, unsigned long long off) asm("llvm.bpf.load.word");

static long (*trace)(const char *format, u32 size, ...) = (void *)6;
static u32 (*random_number)(void) = (void *)7;

u64 counter;
volatile const u32 limit = 16;
static u8 table[64];

SEC("socket") int packet(void *skb)
{
    return load_byte(skb, 23) + load_half(skb, 12) + load_word(skb, 30) + load_byte(skb, random_number() & 15);
}

SEC("socket") int stores(u8 *a, u16 *b, u32 *c, u64 *d)
{
    a[1] = 1;
    b[2] = 2;
    c[3] = 3;
    d[4] = -4;
    a[-1] = b[-2];
    c[-3] = d[-4];
    return a[5] + b[6] + c[7] + (int)d[8];
}

SEC("socket") int atomics(u64 *p, u32 *q)
{
    __sync_fetch_and_add(p, 5);
    __sync_fetch_and_add(q, 6);
#if __BPF_CPU_VERSION__ >= 3
    u64 old = __sync_fetch_and_add(p, 1);
    old += __sync_fetch_and_or(p, 2) + __sync_fetch_and_and(p, 3) + __sync_fetch_and_xor(p, 4);
    old += __sync_fetch_and_or(q, 2) + __sync_fetch_and_and(q, 3) + __sync_fetch_and_xor(q, 4);
    old += __sync_val_compare_and_swap(p, 1, 2) + __sync_val_compare_and_swap(q, 1, 2);
    old += __sync_lock_test_and_set(p, 7) + __sync_lock_test_and_set(q, 7);
    return old;
#else
    return 0;
#endif
}

SEC("socket") int order(u16 *half, u32 *word, u64 *wide)
{
    asm volatile("%0 = be16 %0\n%1 = be32 %1\n%2 = be64 %2\n%0 = le16 %0\n%1 = le32 %1\n%2 = le64 %2"
                 : "+r"(half), "+r"(word), "+r"(wide));
    return (long)half + (long)word + (long)wide;
}

static __attribute__((noinline)) u64 sum(const u8 *bytes, u32 count)
{
    u64 total = 0;
#pragma clang loop unroll(disable)
    for (u32 i = 0; i < count; i++)
        total = total * 31 + bytes[i];
    return total;
}

__attribute__((noinline)) int global(u32 x)
{
    char line[48] = "value %d";
    line[sizeof(line) - 1] = 0;
    trace(line, sizeof(line), x);
    return x * limit;
}

SEC("tc") int calls(u32 *p)
{
    counter += sum(table, limit) + global(p[0]);
    switch (p[1]) {
    case 0:
        return 3;
    case 1:
        return global(p[2]);
    case 2:
        return 17;
    case 3:
        return counter;
    case 4:
        return table[p[3] & 63];
    default:
        return -1;
    }
}

#if __BPF_CPU_VERSION__ >= 4
SEC("tc") int far(u32 *p)
{
    asm volatile("gotol +1\nr0 = 0\nr0 = 1" ::: "r0");
    return p[0];
}
#endif
