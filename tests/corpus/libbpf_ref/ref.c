/* What libbpf makes of eBPF objects, without a kernel: the reference of test_link.py.
 *
 *     libbpf_ref [BTF [LACKS]] < list of paths
 *
 * libbpf opens and prepares each object against the given kernel BTF; bpf(2) is answered by a stand-in that accepts
 * everything, so neither root nor a fitting kernel is needed. Output is one record per line, fields separated by
 * tabs:
 *
 *     V  libbpf version
 *     M  name  type  type word  key size  value size  max entries  flags  map_extra  pinned  internal
 *     P  name  section  autoload  type word  attach word  expected attach type
 *        lines (slot:line:column:file:text ...)  functions (slot:type ...)  instructions in hexadecimal
 *     B  the BTF given to BPF_BTF_LOAD, in hexadecimal; of the program's own, feature probes left out
 *     O  path  ok|open|prepare  first warning: the end of what belongs to this object
 *
 * LACKS is what the stand-in's BTF lacks: kinds as numbers, `global` functions, `?` in names; separated by commas.
 */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <zlib.h>

static const char *kernel_btf;
static char *kallsyms; /* every typeless ksym of the object, at address 0 */
static char last_warning[512];
static const char *lacks;
static __u32 own_btf; /* bytes of the object's BTF */

/* ---- the stand-in kernel ---- */

long __real_syscall(long number, ...);

static int fake_fd(void)
{
	int fd = memfd_create("stand-in", MFD_CLOEXEC);

	if (fd >= 0 && ftruncate(fd, 1LL << 33))
		return -1;
	return fd;
}

static bool lacking(const char *word)
{
	size_t n = strlen(word);

	for (const char *at = lacks; at && (at = strstr(at, word)); at += n)
		if ((at == lacks || at[-1] == ',') && (!at[n] || at[n] == ','))
			return true;
	return false;
}

static bool accepted(const void *data, __u32 size)
{
	struct btf *btf = btf__new(data, size);
	bool fine = true;

	for (int i = 1; btf && i < btf__type_cnt(btf); i++) {
		const struct btf_type *type = btf__type_by_id(btf, i);
		char kind[8];

		snprintf(kind, sizeof(kind), "%d", btf_kind(type));
		fine &= !lacking(kind);
		if (btf_is_func(type) && btf_vlen(type) && lacking("global"))
			fine = false;
		if (btf_is_datasec(type) && btf__name_by_offset(btf, type->name_off)[0] == '?' && lacking("?"))
			fine = false;
	}
	btf__free(btf);
	return fine;
}

static long fake_bpf(int command, const union bpf_attr *attr)
{
	const void *data;

	switch (command) {
	case BPF_BTF_LOAD:
		data = (const void *)(unsigned long)attr->btf;
		if (!accepted(data, attr->btf_size)) {
			errno = EINVAL;
			return -1;
		}
		/* feature probes are smaller than what any object has */
		if (own_btf && attr->btf_size >= own_btf) {
			printf("B\t");
			for (__u32 i = 0; i < attr->btf_size; i++)
				printf("%02x", ((const unsigned char *)data)[i]);
			putchar('\n');
		}
		return fake_fd();
	case BPF_MAP_CREATE:
	case BPF_PROG_LOAD:
		return fake_fd();
	case BPF_MAP_UPDATE_ELEM:
	case BPF_MAP_FREEZE:
	case BPF_OBJ_PIN:
	case BPF_PROG_BIND_MAP:
		return 0;
	case BPF_OBJ_GET: /* nothing is pinned */
	case BPF_BTF_GET_NEXT_ID: /* no modules */
		errno = ENOENT;
		return -1;
	default:
		errno = EINVAL;
		return -1;
	}
}

long __wrap_syscall(long number, ...)
{
	long a[6];
	va_list args;

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (number == __NR_bpf)
		return fake_bpf((int)a[0], (const void *)a[1]);
	return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static const char *redirect(const char *path)
{
	if (kernel_btf && path && !strcmp(path, "/sys/kernel/btf/vmlinux"))
		return kernel_btf;
	return path;
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	int mode = 0;

	if (flags & (O_CREAT | O_TMPFILE)) {
		va_list args;

		va_start(args, flags);
		mode = va_arg(args, int);
		va_end(args);
	}
	return __real_open(redirect(path), flags, mode);
}

FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode)
{
	if (kallsyms && path && !strcmp(path, "/proc/kallsyms"))
		return fmemopen(kallsyms, strlen(kallsyms), "r");
	return __real_fopen(redirect(path), mode);
}

int __real_faccessat(int dir, const char *path, int mode, int flags);
int __wrap_faccessat(int dir, const char *path, int mode, int flags)
{
	return __real_faccessat(dir, redirect(path), mode, flags);
}

/* /boot/config-* and /proc/config.gz: empty, values come from kconfig_of() */
gzFile __wrap_gzopen(const char *path, const char *mode)
{
	(void)path;
	(void)mode;
	return gzdopen(__real_open("/dev/null", O_RDONLY), "r");
}

/* ---- values for externs, so that strong ones resolve ---- */

struct text {
	char *data;
	size_t size;
};

static void add(struct text *text, const char *format, ...)
{
	char line[1024];
	va_list args;
	size_t n;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	n = strlen(line);
	text->data = realloc(text->data, text->size + n + 1);
	memcpy(text->data + text->size, line, n + 1);
	text->size += n;
}

static const struct btf_type *resolved(const struct btf *btf, __u32 id)
{
	return btf__type_by_id(btf, btf__resolve_type(btf, id));
}

static const char *sample_value(const struct btf *btf, __u32 id)
{
	const struct btf_type *type = resolved(btf, id);

	if (!type)
		return "y";
	if (btf_is_array(type))
		return "\"sample\"";
	if (btf_is_int(type) && !(btf_int_encoding(type) & BTF_INT_BOOL) && type->size > 1)
		return "1";
	return "y";
}

static void collect_externs(const struct btf *btf, struct text *config, struct text *symbols)
{
	for (int i = 0; i < 2; i++) {
		const char *section = i ? ".ksyms" : ".kconfig";
		int id = btf ? btf__find_by_name_kind(btf, section, BTF_KIND_DATASEC) : -1;
		const struct btf_type *sec = id > 0 ? btf__type_by_id(btf, id) : NULL;

		for (int j = 0; sec && j < btf_vlen(sec); j++) {
			const struct btf_type *var = btf__type_by_id(btf, btf_var_secinfos(sec)[j].type);
			const char *name = btf__name_by_offset(btf, var->name_off);

			const struct btf_type *of = btf_is_var(var) ? resolved(btf, var->type) : NULL;

			/* btf__resolve_type() gives an error for void: a typeless ksym */
			if (i && btf_is_var(var) && !of)
				add(symbols, "0000000000000000 T %s\n", name);
			else if (!i && !strncmp(name, "CONFIG_", 7))
				add(config, "%s=%s\n", name, sample_value(btf, var->type));
		}
	}
}

/* ---- printing ---- */

static const char *word(const char *text)
{
	return text ? text : "-";
}

static const char *map_name(const struct bpf_map *map)
{
	const char *name = bpf_map__name(map), *dot;

	/* internal maps are called `<object>.rodata` */
	if (bpf_map__is_internal(map) && (dot = strchr(name, '.')))
		return dot;
	return name;
}

static void print_map(const struct bpf_map *map)
{
	printf("M\t%s\t%d\t%s\t%u\t%u\t%u\t%u\t%llu\t%d\t%d\n", map_name(map), bpf_map__type(map),
	       word(libbpf_bpf_map_type_str(bpf_map__type(map))), bpf_map__key_size(map),
	       bpf_map__value_size(map), bpf_map__max_entries(map), bpf_map__map_flags(map),
	       (unsigned long long)bpf_map__map_extra(map), bpf_map__pin_path(map) != NULL,
	       bpf_map__is_internal(map));
}

static void print_program(const struct bpf_program *prog)
{
	const unsigned char *bytes = (const void *)bpf_program__insns(prog);
	size_t size = bpf_program__insn_cnt(prog) * sizeof(struct bpf_insn);
	enum bpf_attach_type attach = bpf_program__expected_attach_type(prog);

	printf("P\t%s\t%s\t%d\t%s\t%s\t%d\t", bpf_program__name(prog), bpf_program__section_name(prog),
	       bpf_program__autoload(prog), word(libbpf_bpf_prog_type_str(bpf_program__type(prog))),
	       word(libbpf_bpf_attach_type_str(attach)), attach);
	for (__u32 i = 0; i < bpf_program__line_info_cnt(prog); i++) {
		const struct bpf_line_info *line = &bpf_program__line_info(prog)[i];

		printf("%u:%u:%u:%u:%u ", line->insn_off, line->line_col >> 10, line->line_col & 1023,
		       line->file_name_off, line->line_off);
	}
	putchar('\t');
	for (__u32 i = 0; i < bpf_program__func_info_cnt(prog); i++)
		printf("%u:%u ", bpf_program__func_info(prog)[i].insn_off,
		       bpf_program__func_info(prog)[i].type_id);
	putchar('\t');
	for (size_t i = 0; i < size; i++)
		printf("%02x", bytes[i]);
	putchar('\n');
}

static int keep_warning(enum libbpf_print_level level, const char *format, va_list args)
{
	if (level == LIBBPF_WARN && !last_warning[0])
		vsnprintf(last_warning, sizeof(last_warning), format, args);
	last_warning[strcspn(last_warning, "\t\n")] = 0;
	return 0;
}

static void one(const char *path)
{
	struct text config = {}, symbols = {};
	LIBBPF_OPTS(bpf_object_open_opts, opts, .bpf_token_path = "");
	struct bpf_object *obj;
	struct bpf_program *prog;
	struct bpf_map *map;
	struct btf *btf;
	int err;

	last_warning[0] = 0;
	obj = bpf_object__open_file(path, &opts);
	if (!obj) {
		printf("O\t%s\topen\t%s\n", path, last_warning);
		return;
	}
	/* a copy, for opening turned the externs' types into allocated integers */
	btf = btf__parse_elf(path, NULL);
	collect_externs(btf, &config, &symbols);
	btf__free(btf);
	if (config.size) {
		bpf_object__close(obj);
		opts.kconfig = config.data;
		obj = bpf_object__open_file(path, &opts);
	}
	add(&symbols, "0000000000000000 T stand_in\n");
	kallsyms = symbols.data;
	bpf_object__for_each_program(prog, obj)
		bpf_program__set_autoload(prog, true);
	/* definitions before preparing, which adjusts them to the kernel */
	bpf_object__for_each_map(map, obj)
		print_map(map);
	last_warning[0] = 0;
	if (bpf_object__btf(obj))
		btf__raw_data(bpf_object__btf(obj), &own_btf);
	err = bpf_object__prepare(obj);
	own_btf = 0;
	if (!err)
		bpf_object__for_each_program(prog, obj)
			print_program(prog);
	printf("O\t%s\t%s\t%s\n", path, err ? "prepare" : "ok", err ? last_warning : "");
	bpf_object__close(obj);
	kallsyms = NULL;
	free(config.data);
	free(symbols.data);
}

int main(int argc, char **argv)
{
	char *line = NULL;
	size_t room = 0;

	kernel_btf = argc > 1 ? argv[1] : NULL;
	lacks = argc > 2 ? argv[2] : NULL;
	libbpf_set_print(keep_warning);
	printf("V\t%s\n", libbpf_version_string());
	while (getline(&line, &room, stdin) > 0) {
		line[strcspn(line, "\n")] = 0;
		one(line);
	}
	free(line);
	return 0;
}
