// Arithmetic, comparisons and sign extension in every width; what each -mcpu level makes of them.
typedef signed char s8;
typedef short s16;
typedef int s32;
typedef long long s64;
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))

SEC("socket") u64 unsigned64(u64 *p)
{
    u64 a = p[0], b = p[1];
    return (a + b * 3) / (b | 1) ^ (a % 7) ^ (a << (b & 63)) ^ (b >> 5) ^ -a ^ (a & 0xff00) ^ 0x123456789abcdefULL;
}

SEC("socket") u32 unsigned32(u32 *p)
{
    u32 a = p[0], b = p[1];
    return (a + b * 3) / (b | 1) ^ (a % 7) ^ (a << (b & 31)) ^ (b >> 5) ^ -a ^ (a & 0xff00);
}

SEC("socket") s64 shifts(s64 *p, s32 *q)
{
    return (p[0] >> 3) + (q[0] >> (q[1] & 31));
}

SEC("socket") s64 extend(s8 *a, s16 *b, s32 *c)
{
    return a[1] + b[2] + c[3];
}

SEC("socket") s64 extend_register(u64 a, u64 b)
{
    return (s64)(s8)(a * b) + (s64)(s16)(a + b) + (s64)(s32)(a ^ b);
}

#if __BPF_CPU_VERSION__ >= 4
SEC("socket") s64 divide_signed(s64 *p, s32 *q)
{
    return p[0] / p[1] + p[2] % p[3] + q[0] / q[1] + q[2] % q[3] + p[4] / 9;
}
#endif

SEC("socket") u64 swap(u64 *p, u32 *q, u16 *r)
{
    return __builtin_bswap64(p[0]) + __builtin_bswap32(q[0]) + __builtin_bswap16(r[0]);
}

static __attribute__((noinline)) int compare(s64 a, s64 b, s32 c, s32 d)
{
    if (a < b)
        return 1;
    if ((u64)a > (u64)b + 7)
        return 2;
    if (c <= d)
        return 3;
    if ((u32)c >= (u32)d * 5)
        return 4;
    if (c & 0x10)
        return 5;
    if (a != b && c == -3)
        return 6;
    return d > 1000 ? 7 : 8;
}

SEC("socket") int comparisons(s64 *p, s32 *q)
{
    return compare(p[0], p[1], q[0], q[1]) + compare(p[2], -5, q[2], 9);
}
