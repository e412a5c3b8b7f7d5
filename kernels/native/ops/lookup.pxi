# lookup: every unary function of int8 words is a table of 256; channels may have one each.

cdef struct Lookup:
    Py_ssize_t size
    uint8_t table[256]   # by the word's bit pattern


cdef void lookup_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    cdef const Lookup *p = <const Lookup *>params
    cdef Py_ssize_t first = share(p.size, thread, n_threads), n = share(p.size, thread + 1, n_threads) - first, i
    cdef const uint8_t *x = <const uint8_t *>tensors[0] + first
    cdef uint8_t *out = <uint8_t *>tensors[2] + first
    for i in range(lookup_blocks(out, x, n, p.table), n):
        out[i] = p.table[x[i]]


cdef struct ChannelLookup:
    Py_ssize_t rows, channels, tables   # tables: where they lie behind this struct, one of 256 bytes for each channel


# Each byte is loaded by itself: vectors look up in one table, and a scale for each channel needs as many as channels.
cdef void channel_lookup_kernel(const void *params, char *const *tensors, char *scratch, int thread, int n_threads) noexcept nogil:
    cdef const ChannelLookup *p = <const ChannelLookup *>params
    cdef const uint8_t *tables = <const uint8_t *>params + p.tables
    cdef Py_ssize_t first = share(p.rows, thread, n_threads), rows = share(p.rows, thread + 1, n_threads) - first, r, c
    cdef const uint8_t *x = <const uint8_t *>tensors[0] + first * p.channels
    cdef uint8_t *out = <uint8_t *>tensors[2] + first * p.channels
    for r in range(rows):
        for c in range(p.channels):
            out[c] = tables[256 * c + x[c]]
        x += p.channels
        out += p.channels


def bind_channel_lookup(op, x, table):
    cdef Layout layout = Layout(sizeof(ChannelLookup))
    cdef Py_ssize_t tables = layout.reserve(table.nbytes), k
    cdef ChannelLookup *p = <ChannelLookup *>layout.at()
    cdef uint8_t *by_bits = <uint8_t *>layout.at(tables)
    cdef const uint8_t[::1] words = memoryview(table.data).cast("B")
    p.channels, p.rows, p.tables = table.shape[0], x.size // table.shape[0], tables
    for k in range(table.nbytes):
        by_bits[k ^ 0x80] = words[k]
    return make_step(op, <uintptr_t>&channel_lookup_kernel, layout, x.size * MOVE)


def bind_lookup(op, inputs, outputs, attrs):
    cdef Layout layout = Layout(sizeof(Lookup))
    cdef Lookup *p = <Lookup *>layout.at()
    if inputs[0].dtype != "int8" or outputs[0].dtype != "int8" or inputs[1].data is None:
        return None
    if len(inputs[1].shape) == 2:
        return bind_channel_lookup(op, inputs[0], inputs[1])
    p.size = inputs[0].size
    table = bytes(inputs[1].data)
    for q in range(256):
        p.table[q ^ 0x80] = table[q]  # the file's table starts at word -128, whose bit pattern is 0x80
    return make_step(op, <uintptr_t>&lookup_kernel, layout, p.size * MOVE)
