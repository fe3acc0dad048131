/* HDF5 files: see hdf5_file.h. */
#include "hdf5_file.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "elements.h"
#include "status.h"
#include "zip_archive.h"

/* HDF5 is one for the whole process, its error reports and, in most builds, its data without locks
 * of its own. */
static pthread_mutex_t library = PTHREAD_MUTEX_INITIALIZER;
static bool is_quiet_at_exit;

/* ---- errors ---------------------------------------------------------------------------------- */

/* HDF5 prints every error unless it is told not to. */
static void enter(convti_hdf5 *h5)
{
    pthread_mutex_lock(&library);
    H5Eget_auto2(H5E_DEFAULT, &h5->report, &h5->report_to);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

static void leave(convti_hdf5 *h5)
{
    H5Eclear2(H5E_DEFAULT);
    H5Eset_auto2(H5E_DEFAULT, h5->report, h5->report_to);
    pthread_mutex_unlock(&library);
}

/* The innermost of the functions that failed knows most. */
static herr_t take_first(unsigned depth, const H5E_error2_t *error, void *text)
{
    if (depth == 0 && error->desc) snprintf(text, 120, "%s", error->desc);
    return 0;
}

static void be_quiet(void)
{
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

/* Where a file is broken HDF5 may lose memory, and says at exit that it cannot close itself. */
static void be_quiet_at_exit(void)
{
    if (!is_quiet_at_exit) is_quiet_at_exit = atexit(be_quiet) == 0;
}

static convt_status hdf5_failed(convti_hdf5 *h5, const char *path, const char *what,
                                convt_error *err)
{
    char text[120] = "HDF5 says no reason";
    if (h5->failure.status == CONVT_FILE_FAILED)
        return convti_fail(err, CONVT_FILE_FAILED, h5->name, "%s", h5->failure.message);
    be_quiet_at_exit();
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_first, text);
    H5Eclear2(H5E_DEFAULT);
    convti_make_printable(text);
    return convti_fail(err, CONVT_BAD_FORMAT, h5->name, "%s%s%scannot be %s: %s", h5->label, path,
                       *path ? " " : "", what, text);
}

/* ---- the driver ------------------------------------------------------------------------------ */

typedef struct image {
    H5FD_t base; /* HDF5's own */
    convti_hdf5 *h5;
    haddr_t end; /* of what HDF5 takes for allocated */
} image;

typedef struct image_info {
    convti_hdf5 *h5;
} image_info;

static H5FD_t *open_image(const char *name, unsigned flags, hid_t access, haddr_t most)
{
    (void)name, (void)flags, (void)most;
    const image_info *info = H5Pget_driver_info(access);
    image *file = info ? calloc(1, sizeof *file) : NULL;
    if (!file) return NULL;
    file->h5 = info->h5;
    return &file->base;
}

static herr_t close_image(H5FD_t *file)
{
    free(file);
    return 0;
}

static haddr_t image_end(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return ((const image *)file)->end;
}

static herr_t set_image_end(H5FD_t *file, H5FD_mem_t type, haddr_t end)
{
    (void)type;
    ((image *)file)->end = end;
    return 0;
}

static haddr_t image_size(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return ((const image *)file)->h5->input->size;
}

static herr_t read_image(H5FD_t *file, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t size,
                         void *data)
{
    (void)type, (void)transfer;
    convti_hdf5 *h5 = ((image *)file)->h5;
    return convti_input_read(h5->input, at, data, size, &h5->failure) ? -1 : 0;
}

/* HDF5 wants one. */
static herr_t write_nothing(H5FD_t *file, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t size,
                            const void *data)
{
    (void)file, (void)type, (void)transfer, (void)at, (void)size, (void)data;
    return -1;
}

static const H5FD_class_t driver = {
#ifdef H5FD_CLASS_VERSION
    .version = H5FD_CLASS_VERSION,
    .value =
        511, /* the last of those that HDF5 leaves to tests; it is taken as long as a file is open */
#endif
    .name = "convt",
    .maxaddr = (haddr_t)INT64_MAX,
    .fc_degree = H5F_CLOSE_STRONG,
    .fapl_size = sizeof(image_info),
    .open = open_image,
    .close = close_image,
    .get_eoa = image_end,
    .set_eoa = set_image_end,
    .get_eof = image_size,
    .read = read_image,
    .write = write_nothing,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

/* ---- opening --------------------------------------------------------------------------------- */

convt_status convti_hdf5_open(convti_hdf5 *h5, const convti_input *input, const char *label,
                              convt_error *err)
{
    *h5 = (convti_hdf5){.name = input->name,
                        .label = label,
                        .file = H5I_INVALID_HID,
                        .input = input,
                        .plain = input->size,
                        .packed = UINT64_MAX};
    if (input->size < (UINT64_MAX - CONVTI_ZIP_FREE) / CONVTI_ZIP_RATIO)
        h5->packed = CONVTI_ZIP_RATIO * input->size + CONVTI_ZIP_FREE;
    enter(h5);
    const image_info info = {h5};
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    h5->driver = H5FDregister(&driver);
    if (access >= 0 && h5->driver >= 0 && H5Pset_driver(access, h5->driver, &info) >= 0)
        h5->file = H5Fopen(input->name, H5F_ACC_RDONLY, access);
    const convt_status status = h5->file < 0 ? hdf5_failed(h5, "", "read", err) : CONVT_OK;
    H5Pclose(access);
    if (status) convti_hdf5_close(h5);
    return status;
}

void convti_hdf5_close(convti_hdf5 *h5)
{
    if (h5->file >= 0) H5Fclose(h5->file);
    if (h5->driver >= 0) H5FDunregister(h5->driver);
    leave(h5);
}

/* ---- paths ----------------------------------------------------------------------------------- */

/* A soft link may lead around in circles, an external one into another file. */
static convt_status check_link(convti_hdf5 *h5, hid_t parent, const char *step, const char *path,
                               convt_error *err)
{
    H5L_info_t info;
    const htri_t there = H5Lexists(parent, step, H5P_DEFAULT);
    if (there < 0 || (there > 0 && H5Lget_info(parent, step, &info, H5P_DEFAULT) < 0))
        return hdf5_failed(h5, path, "read", err);
    if (there == 0)
        return convti_fail(err, CONVT_BAD_FORMAT, h5->name, "%shas no %s", h5->label, path);
    if (info.type != H5L_TYPE_HARD)
        return convti_fail(err, CONVT_BAD_FORMAT, h5->name,
                           "%s%s leads over %s, which is not followed", h5->label, path,
                           info.type == H5L_TYPE_SOFT       ? "a soft link"
                           : info.type == H5L_TYPE_EXTERNAL ? "a link into another file"
                                                            : "a link of a kind of its own");
    return CONVT_OK;
}

/* One step along a path; *object is to be closed. */
static convt_status open_step(convti_hdf5 *h5, hid_t parent, const char *step, H5I_type_t type,
                              const char *path, hid_t *object, convt_error *err)
{
    *object = H5I_INVALID_HID;
    const convt_status status = check_link(h5, parent, step, path, err);
    if (status) return status;
    *object = H5Oopen(parent, step, H5P_DEFAULT);
    if (*object < 0) return hdf5_failed(h5, path, "read", err);
    if (H5Iget_type(*object) == type) return CONVT_OK;
    H5Oclose(*object);
    *object = H5I_INVALID_HID;
    return convti_fail(err, CONVT_BAD_FORMAT, h5->name, "%s%s: %s is no %s", h5->label, path, step,
                       type == H5I_GROUP ? "group" : "dataset");
}

/* What a path of groups ends in. */
static convt_status open_path(convti_hdf5 *h5, const char *path, H5I_type_t type, hid_t *object,
                              convt_error *err)
{
    convt_status status = CONVT_OK;
    hid_t parent = h5->file;
    *object = H5I_INVALID_HID;
    for (const char *at = path; *at && !status;) {
        char step[128];
        const size_t length = strcspn(at, "/");
        const bool last = at[length] == '\0';
        snprintf(step, sizeof step, "%.*s", (int)length, at);
        status = open_step(h5, parent, step, last ? type : H5I_GROUP, path, object, err);
        if (parent != h5->file) H5Oclose(parent);
        parent = *object;
        at += length + !last;
    }
    return status;
}

bool convti_hdf5_has(convti_hdf5 *h5, const char *member)
{
    return H5Lexists(h5->file, member, H5P_DEFAULT) > 0;
}

convt_status convti_hdf5_count(convti_hdf5 *h5, const char *path, uint64_t *count, convt_error *err)
{
    hid_t group;
    H5G_info_t info;
    convt_status status = open_path(h5, path, H5I_GROUP, &group, err);
    if (status) return status;
    if (H5Gget_info(group, &info) < 0)
        status = hdf5_failed(h5, path, "read", err);
    else
        *count = info.nlinks;
    H5Oclose(group);
    return status;
}

/* ---- elements -------------------------------------------------------------------------------- */

/* Half precision as h5py stores it, which HDF5 has a name for from 1.14.4 on. */
static hid_t half_of(hid_t base)
{
    const hid_t type = H5Tcopy(base);
    if (H5Tset_fields(type, 15, 10, 5, 0, 10) >= 0 && H5Tset_size(type, 2) >= 0 &&
        H5Tset_ebias(type, 15) >= 0)
        return type;
    H5Tclose(type);
    return H5I_INVALID_HID;
}

/* The types that are read; elements are taken as they lie, so that HDF5 converts nothing. */
static convti_type float_type(hid_t type, bool *little)
{
    const hid_t half = half_of(H5T_IEEE_F32LE), big_half = half_of(H5T_IEEE_F32BE);
    const struct {
        hid_t type;
        int width;
        bool little;
    } rows[] = {{H5T_IEEE_F32LE, 4, true},  {H5T_IEEE_F64LE, 8, true},  {half, 2, true},
                {H5T_IEEE_F32BE, 4, false}, {H5T_IEEE_F64BE, 8, false}, {big_half, 2, false}};
    convti_type found = {CONVTI_NO_KIND, 0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows && !found.width; i++) {
        if (H5Tequal(type, rows[i].type) <= 0) continue;
        found = (convti_type){CONVTI_FLOAT, rows[i].width};
        *little = rows[i].little;
    }
    H5Tclose(half);
    H5Tclose(big_half);
    return found;
}

/* bfloat16 is no float of HDF5's: Keras says in an attribute what 2 bytes are. */
static bool is_brain(hid_t dataset, hid_t type)
{
    return H5Tget_class(type) == H5T_OPAQUE && H5Tget_size(type) == 2 &&
           H5Aexists(dataset, "dtype") > 0;
}

/* ---- datasets -------------------------------------------------------------------------------- */

/* What is asked of a dataset before anything is read. */
typedef struct dataset {
    convti_hdf5 *h5;
    const char *path;
    hid_t id, type, space, layout;
    convti_type element;
    bool little;
    uint64_t count;   /* elements */
    uint64_t in_file; /* bytes, unpacked */
    bool chunked;
} dataset;

static void close_dataset(dataset *d)
{
    if (d->layout >= 0) H5Pclose(d->layout);
    if (d->space >= 0) H5Sclose(d->space);
    if (d->type >= 0) H5Tclose(d->type);
    if (d->id >= 0) H5Dclose(d->id);
}

static convt_status refuse(const dataset *d, const char *what, convt_error *err)
{
    return convti_fail(err, CONVT_BAD_FORMAT, d->h5->name, "%s%s %s", d->h5->label, d->path, what);
}

/* The filters that are taken, in the order in which h5py applies them. Others HDF5 would load a
 * library for, and gzip within gzip would unpack to its square. */
static convt_status check_filters(dataset *d, convt_error *err)
{
    static const H5Z_filter_t taken[] = {H5Z_FILTER_SHUFFLE, H5Z_FILTER_DEFLATE,
                                         H5Z_FILTER_FLETCHER32};
    enum { TAKEN = sizeof taken / sizeof *taken };
    const int filters = H5Pget_nfilters(d->layout);
    int next = 0;
    for (int i = 0; i < filters; i++, next++) {
        char what[96];
        unsigned flags;
        size_t values = 0;
        const H5Z_filter_t filter =
            H5Pget_filter2(d->layout, (unsigned)i, &flags, &values, NULL, 0, NULL, NULL);
        while (next < TAKEN && taken[next] != filter) next++;
        if (next < TAKEN) continue;
        snprintf(what, sizeof what,
                 "is packed by filter %d: only shuffle, gzip and fletcher32 are read", (int)filter);
        return refuse(d, what, err);
    }
    return CONVT_OK;
}

/* Bytes must be in this file. */
static convt_status check_layout(dataset *d, convt_error *err)
{
    const H5D_layout_t layout = H5Pget_layout(d->layout);
    if (H5Pget_external_count(d->layout) != 0) return refuse(d, "lies in another file", err);
    if (layout < H5D_COMPACT || layout > H5D_CHUNKED)
        return refuse(d, "is a virtual dataset, which is not followed", err);
    d->chunked = layout == H5D_CHUNKED;
    return check_filters(d, err);
}

static convt_status check_type(dataset *d, convt_error *err)
{
    const bool brain = is_brain(d->id, d->type);
    d->little = brain;
    d->element = brain ? (convti_type){CONVTI_BRAIN, 2} : float_type(d->type, &d->little);
    return d->element.kind ? CONVT_OK : refuse(d, "holds no floats of 2, 4 or 8 bytes", err);
}

static convt_status check_shape(dataset *d, convt_array *array, convt_error *err)
{
    char what[64];
    int64_t count;
    hsize_t size[H5S_MAX_RANK];
    const int rank = H5Sget_simple_extent_dims(d->space, size, NULL);
    if (rank < 0 || H5Sget_simple_extent_type(d->space) == H5S_NULL)
        return refuse(d, "has no shape", err);
    snprintf(what, sizeof what, "has rank %d, more than %d", rank, CONVT_MAX_RANK);
    if (rank > CONVT_MAX_RANK) return refuse(d, what, err);
    array->rank = rank;
    for (int i = 0; i < rank; i++)
        array->shape[i] = size[i] < INT64_MAX ? (int64_t)size[i] : INT64_MAX;
    if (!convti_count_elements(rank, array->shape, &count))
        return refuse(d, "has a shape of more elements than can be counted", err);
    d->count = (uint64_t)count;
    d->in_file = d->count * H5Tget_size(d->type);
    return CONVT_OK;
}

/* A whole chunk is unpacked at once, however little of it the dataset has. */
static uint64_t chunk_size(const dataset *d)
{
    hsize_t size[H5S_MAX_RANK];
    uint64_t bytes = H5Tget_size(d->type);
    const int rank = H5Pget_chunk(d->layout, H5S_MAX_RANK, size);
    for (int i = 0; i < rank; i++) {
        if (__builtin_mul_overflow(bytes, size[i], &bytes)) return UINT64_MAX;
    }
    return rank < 0 ? UINT64_MAX : bytes;
}

static convt_status too_large(const dataset *d, convt_error *err)
{
    char what[96];
    snprintf(what, sizeof what, "makes more numbers than %s%llu bytes can hold",
             d->chunked ? "256 times the file's " : "the file's ",
             (unsigned long long)d->h5->input->size);
    return refuse(d, what, err);
}

/* Datasets may share their bytes, so they count together. */
static convt_status check_size(dataset *d, convt_error *err)
{
    convti_hdf5 *h5 = d->h5;
    uint64_t *left = d->chunked ? &h5->packed : &h5->plain;
    const uint64_t chunk = d->chunked ? chunk_size(d) : 0;
    if (!d->chunked && H5Dget_storage_size(d->id) < d->in_file)
        return refuse(d, "has a shape, but not the numbers", err);
    if (d->in_file > *left || chunk > *left) return too_large(d, err);
    *left -= d->in_file;
    if (d->chunked && d->count > 0 && H5Pget_nfilters(d->layout) > 0 &&
        !convti_hdf5_chunks_fit(d->id, d->layout, d->space, chunk, h5->input->size))
        return refuse(d, "has chunks that do not unpack to their size", err);
    return CONVT_OK;
}

static convt_status open_dataset(dataset *d, convt_error *err)
{
    const convt_status status = open_path(d->h5, d->path, H5I_DATASET, &d->id, err);
    if (status) return status;
    d->layout = H5Dget_create_plist(d->id);
    d->type = H5Dget_type(d->id);
    d->space = H5Dget_space(d->id);
    return d->layout < 0 || d->type < 0 || d->space < 0 ? hdf5_failed(d->h5, d->path, "read", err)
                                                        : check_layout(d, err);
}

static convt_status read_elements(const dataset *d, convt_array *array, convt_error *err)
{
    const convti_source source = {.name = d->h5->name, .label = d->h5->label};
    array->data = malloc((size_t)d->in_file + 1);
    if (!array->data) return convti_no_memory(err, d->h5->name, (size_t)d->in_file);
    if (d->count > 0 && H5Dread(d->id, d->type, H5S_ALL, H5S_ALL, H5P_DEFAULT, array->data) < 0)
        return hdf5_failed(d->h5, d->path, "read", err);
    return convti_elements_convert(&source, array, (int64_t)d->count, d->element, d->little, err);
}

convt_status convti_hdf5_read(convti_hdf5 *h5, const char *path, convt_array *array,
                              convt_error *err)
{
    dataset d = {.h5 = h5, .path = path, .id = -1, .type = -1, .space = -1, .layout = -1};
    *array = (convt_array){0};
    convt_status status = open_dataset(&d, err);
    if (!status) status = check_type(&d, err);
    if (!status) status = check_shape(&d, array, err);
    if (!status) status = check_size(&d, err);
    if (!status) status = read_elements(&d, array, err);
    close_dataset(&d);
    if (status) convt_array_free(array);
    return status;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* As h5py writes: the oldest form, which every HDF5 reads. */
convt_status convti_hdf5_create(convti_hdf5 *h5, const char *name, convt_error *err)
{
    enum { STEP = 1 << 16 };
    *h5 = (convti_hdf5){
        .name = name, .label = "", .file = H5I_INVALID_HID, .driver = H5I_INVALID_HID};
    enter(h5);
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (access >= 0 && H5Pset_fapl_core(access, STEP, false) >= 0)
        h5->file = H5Fcreate(name, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    const convt_status status = h5->file < 0 ? hdf5_failed(h5, "", "written", err) : CONVT_OK;
    H5Pclose(access);
    if (status) convti_hdf5_close(h5);
    return status;
}

/* Text of any length in UTF-8, as h5py writes Python's strings. */
static bool add_text(hid_t group, const char *attribute, const char *text)
{
    const hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
    hid_t id = H5I_INVALID_HID;
    if (H5Tset_size(type, H5T_VARIABLE) >= 0 && H5Tset_cset(type, H5T_CSET_UTF8) >= 0)
        id = H5Acreate2(group, attribute, type, space, H5P_DEFAULT, H5P_DEFAULT);
    const bool written = id >= 0 && H5Awrite(id, type, &text) >= 0;
    H5Aclose(id);
    H5Sclose(space);
    H5Tclose(type);
    return written;
}

convt_status convti_hdf5_add_group(convti_hdf5 *h5, const char *path, const char *text,
                                   convt_error *err)
{
    const hid_t links = H5Pcreate(H5P_LINK_CREATE);
    hid_t group = H5I_INVALID_HID;
    if (H5Pset_create_intermediate_group(links, 1) >= 0)
        group = H5Gcreate2(h5->file, path, links, H5P_DEFAULT, H5P_DEFAULT);
    const convt_status status = group >= 0 && add_text(group, "name", text)
                                    ? CONVT_OK
                                    : hdf5_failed(h5, path, "written", err);
    H5Gclose(group);
    H5Pclose(links);
    return status;
}

/* As memory holds the elements; HDF5's types are known at run time only. */
static hid_t native_type(convt_element element)
{
    const hid_t types[] = {[CONVT_ELEMENT_F32] = H5T_NATIVE_FLOAT,
                           [CONVT_ELEMENT_F64] = H5T_NATIVE_DOUBLE,
                           [CONVT_ELEMENT_U8] = H5T_NATIVE_UINT8,
                           [CONVT_ELEMENT_I64] = H5T_NATIVE_INT64};
    return types[element];
}

/* Floats whatever the array has, as Keras' variables are. Without times, so that equal content gives
 * equal files. */
convt_status convti_hdf5_add(convti_hdf5 *h5, const char *path, const convt_array *array,
                             convt_error *err)
{
    hsize_t size[CONVT_MAX_RANK] = {0};
    const hid_t type = array->element == CONVT_ELEMENT_F64 ? H5T_IEEE_F64LE : H5T_IEEE_F32LE;
    for (int i = 0; i < array->rank; i++) size[i] = (hsize_t)array->shape[i];
    const hid_t space = H5Screate_simple(array->rank, size, NULL),
                layout = H5Pcreate(H5P_DATASET_CREATE);
    hid_t id = H5I_INVALID_HID;
    if (H5Pset_obj_track_times(layout, false) >= 0)
        id = H5Dcreate2(h5->file, path, type, space, H5P_DEFAULT, layout, H5P_DEFAULT);
    const bool written = id >= 0 && H5Dwrite(id, native_type(array->element), H5S_ALL, H5S_ALL,
                                             H5P_DEFAULT, array->data) >= 0;
    const convt_status status = written ? CONVT_OK : hdf5_failed(h5, path, "written", err);
    H5Dclose(id);
    H5Pclose(layout);
    H5Sclose(space);
    return status;
}

static convt_status take_bytes(convti_hdf5 *h5, void **data, size_t *size, convt_error *err)
{
    const ssize_t needed =
        H5Fflush(h5->file, H5F_SCOPE_LOCAL) < 0 ? -1 : H5Fget_file_image(h5->file, NULL, 0);
    if (needed < 0) return hdf5_failed(h5, "", "written", err);
    *size = (size_t)needed;
    *data = malloc(*size);
    if (!*data) return convti_no_memory(err, h5->name, *size);
    return H5Fget_file_image(h5->file, *data, *size) < 0 ? hdf5_failed(h5, "", "written", err)
                                                         : CONVT_OK;
}

convt_status convti_hdf5_finish(convti_hdf5 *h5, convt_status status, void **data, size_t *size,
                                convt_error *err)
{
    *data = NULL;
    *size = 0;
    if (!status) status = take_bytes(h5, data, size, err);
    convti_hdf5_close(h5);
    if (!status) return CONVT_OK;
    free(*data);
    *data = NULL;
    *size = 0;
    return status;
}
