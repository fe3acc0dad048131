/*
 * The page of a run; see report.h. Pictures travel inside as data: URLs, curves as SVG; no script.
 */
#include "report.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chart.h"
#include "cli.h"
#include "grid.h"
#include "model.h"
#include "progress.h"

static const char style[] =
    ":root{color-scheme:light "
    "dark;--paper:#fcfcfa;--card:#f2f1ec;--ink:#1d1d1b;--soft:#66655f;--rule:#dddbd3;"
    "--accent:#0b6e75;--second:#b3541e}\n"
    "@media(prefers-color-scheme:dark){:root{--paper:#151617;--card:#202224;--ink:#e9e7e1;--soft:#"
    "a09d94;--rule:#35373a;"
    "--accent:#4fc3c8;--second:#f0945c}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 "
    "system-ui,-apple-system,\"Segoe UI\",Roboto,"
    "\"Helvetica Neue\",\"Noto Sans\",sans-serif;-webkit-text-size-adjust:100%}\n"
    "main{max-width:62rem;margin:0 auto;padding:clamp(1.25rem,4vw,3.5rem) clamp(1rem,4vw,2rem) "
    "4rem}\n"
    "h1{font-size:clamp(1.6rem,4.5vw,2.3rem);line-height:1.15;letter-spacing:-.02em;margin:0 0 "
    ".35em;text-wrap:balance}\n"
    "h2{font-size:1.15rem;letter-spacing:-.01em;margin:3rem 0 .25rem}\n"
    "p{margin:.25rem 0 1rem;max-width:46rem;text-wrap:pretty}.soft{color:var(--soft)}\n"
    ".notice{border-left:4px solid var(--second);background:var(--card);padding:.7rem "
    "1rem;border-radius:0 6px 6px 0}\n"
    ".numbers{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.4rem,1fr));gap:.75rem;"
    "margin:1.75rem 0}\n"
    ".numbers div{background:var(--card);border-radius:10px;padding:.8rem 1rem}\n"
    ".numbers "
    "b{display:block;font-size:1.5rem;line-height:1.3;font-weight:650;letter-spacing:-.02em;"
    "font-variant-numeric:tabular-nums}\n"
    ".numbers span{color:var(--soft);font-size:.85rem}.numbers .main b{color:var(--accent)}\n"
    ".curves{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,21rem),1fr));gap:1."
    "5rem;margin-top:1rem}\n"
    "figure{margin:0}.chart svg{display:block;width:100%;height:auto}\n"
    ".chart "
    "figcaption{font-weight:600;font-size:.9rem;margin-bottom:.25rem;display:flex;flex-wrap:wrap;"
    "gap:0 1rem}\n"
    ".chart text{fill:var(--soft);font-size:11.5px;font-variant-numeric:tabular-nums}\n"
    ".chart .rule{stroke:var(--rule)}.chart "
    "path{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}\n"
    ".chart path.train{stroke:var(--accent)}.chart circle.train{fill:var(--accent)}\n"
    ".chart path.held{stroke:var(--second)}.chart circle.held{fill:var(--second)}\n"
    ".chart line.reference{stroke:var(--ink);stroke-dasharray:5 4;opacity:.7}.chart "
    "text.reference{fill:var(--ink)}\n"
    ".key{font-weight:400;color:var(--soft)}.key "
    "i{display:inline-block;width:.75em;height:.75em;border-radius:50%;"
    "margin:0 .35em 0 .6em}.key .train{background:var(--accent)}.key "
    ".held{background:var(--second)}\n"
    ".pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(var(--cell),1fr));gap:."
    "7rem .6rem;margin-top:1rem}\n"
    ".pictures "
    "img{display:block;width:100%;height:auto;image-rendering:pixelated;border-radius:3px}\n"
    ".pictures figure img+img{margin-top:2px}\n"
    ".pictures "
    "figcaption{font-size:.72rem;color:var(--soft);text-align:center;font-variant-numeric:tabular-"
    "nums;"
    "margin-top:.2rem;line-height:1.2}\n"
    ".wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.92rem;margin-top:."
    "75rem}\n"
    "th{text-align:left;color:var(--soft);font-weight:500;font-size:.82rem}\n"
    "th,td{padding:.42rem .9rem .42rem 0;border-bottom:1px solid var(--rule);white-space:nowrap;"
    "font-variant-numeric:tabular-nums}\n"
    "th:last-child,td:last-child{padding-right:0}.n{text-align:right}tfoot "
    "td{font-weight:600;border-bottom:0}\n"
    "dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,19rem),1fr));gap:0 "
    "2rem;margin:.75rem 0}\n"
    "dl div{display:flex;justify-content:space-between;gap:1rem;border-bottom:1px solid "
    "var(--rule);padding:.4rem 0}\n"
    "dt{color:var(--soft);white-space:nowrap}dd{margin:0;text-align:right;overflow-wrap:anywhere;"
    "font-variant-numeric:tabular-nums}\n"
    "pre{background:var(--card);border-radius:10px;padding:.9rem 1rem;margin:.75rem "
    "0;white-space:pre-wrap;"
    "overflow-wrap:anywhere;font:.87rem/1.6 ui-monospace,\"SF Mono\",Menlo,Consolas,\"DejaVu Sans "
    "Mono\",monospace}\n"
    "footer{margin-top:3.5rem;color:var(--soft);font-size:.85rem}\n"
    "@media(max-width:36rem){.more{display:none}th,td{padding-right:.6rem}.chart "
    "text{font-size:14px}}\n"
    "@media print{.numbers div,pre{border:1px solid var(--rule)}figure,tr{break-inside:avoid}}\n";

void report_add_fact(report *r, const char *name, const char *format, ...)
{
    if (r->fact_count == REPORT_FACTS) return;
    report_fact *fact = &r->facts[r->fact_count++];
    va_list arguments;
    fact->name = name;
    va_start(arguments, format);
    vsnprintf(fact->value, sizeof fact->value, format, arguments);
    va_end(arguments);
}

/* ---- pieces ---------------------------------------------------------------------------------- */

static void put_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '<': fputs("&lt;", out); break;
        case '>': fputs("&gt;", out); break;
        case '&': fputs("&amp;", out); break;
        case '"': fputs("&quot;", out); break;
        default: fputc((unsigned char)*text < ' ' ? ' ' : *text, out);
        }
    }
}

static void put_base64(FILE *out, const uint8_t *data, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        size_t there = size - i < 3 ? size - i : 3;
        unsigned bits = (unsigned)data[i] << 16;
        bits |= there > 1 ? (unsigned)data[i + 1] << 8 : 0;
        bits |= there > 2 ? (unsigned)data[i + 2] : 0;
        fputc(digits[bits >> 18], out);
        fputc(digits[bits >> 12 & 63], out);
        fputc(there > 1 ? digits[bits >> 6 & 63] : '=', out);
        fputc(there > 2 ? digits[bits & 63] : '=', out);
    }
}

static bool put_image(FILE *out, convt_shape shape, const float *pixels, const char *what,
                      int64_t number)
{
    int64_t count = shape.h * shape.w * shape.c;
    uint8_t *bytes = malloc((size_t)count), *png = NULL;
    size_t size = 0;
    convt_error err;
    for (int64_t i = 0; bytes && i < count; i++) bytes[i] = grey_byte(pixels[i]);
    bool good = bytes &&
                convt_png_encode(bytes, shape.h, shape.w, shape.c, &png, &size, &err) == CONVT_OK;
    if (good) {
        fprintf(out,
                "<img width=\"%lld\" height=\"%lld\" alt=\"%s %lld\" src=\"data:image/png;base64,",
                (long long)shape.w, (long long)shape.h, what, (long long)number);
        put_base64(out, png, size);
        fputs("\">", out);
    }
    free(png);
    free(bytes);
    return good;
}

static double picture_mse(const float *a, const float *b, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sum / (double)count;
}

/* Small images need 64 screen pixels to be seen, large ones more. */
static void open_pictures(FILE *out, convt_shape shape)
{
    fprintf(out, "<div class=\"pictures\" style=\"--cell:%s\">\n",
            shape.w <= 40   ? "4rem"
            : shape.w <= 80 ? "6rem"
                            : "9rem");
}

/* ---- sections -------------------------------------------------------------------------------- */

static const double *last_epoch(const report *r)
{
    return r->history->count > 0 ? r->history->rows[r->history->count - 1] : NULL;
}

static void put_number(FILE *out, const char *class, const char *label, double value)
{
    fprintf(out, "<div%s><b>%.5f</b><span>%s</span></div>\n", class, value, label);
}

static void put_numbers(FILE *out, const report *r)
{
    const double *last = last_epoch(r);
    char text[64], time[32];
    fputs("<div class=\"numbers\">\n", out);
    if (last) {
        put_number(out, " class=\"main\"", "mean squared error", last[1]);
        if (r->pca_components > 0 && isfinite(r->pca_mse)) {
            snprintf(text, sizeof text, "PCA, %lld components", (long long)r->pca_components);
            put_number(out, "", text, r->pca_mse);
        }
        put_number(out, "", r->loss_name, last[0]);
        if (r->history->validation) put_number(out, "", "mse, held out", last[3]);
    }
    fprintf(out, "<div><b>%lld</b><span>epochs</span></div>\n", (long long)r->history->count);
    if (r->epochs > 0) {
        fprintf(out, "<div><b>%s</b><span>training time</span></div>\n",
                duration_text(time, r->seconds));
        fprintf(out, "<div><b>%s</b><span>images per second</span></div>\n",
                count_text(time, (int64_t)(r->samples_per_second + 0.5)));
    }
    fputs("</div>\n", out);
}

static void put_pca(FILE *out, const report *r)
{
    const double *last = last_epoch(r);
    if (r->pca_components == 0 || !last) return;
    if (!isfinite(r->pca_mse)) {
        fprintf(out, "<p class=\"soft\" id=\"pca\">No comparison with PCA: the images are too "
                     "large or too many for a quick one.</p>\n");
        return;
    }
    double change = 100 * (last[1] / r->pca_mse - 1);
    fprintf(out,
            "<p id=\"pca\">The best linear code of the same size, a principal component analysis "
            "of the same images with %lld "
            "components, leaves a mean squared error of %.5f; this decoder leaves %.5f, "
            "<b>%.1f&nbsp;%% %s</b>.</p>\n",
            (long long)r->pca_components, r->pca_mse, last[1], fabs(change),
            change < 0 ? "less" : "more");
}

static bool put_pairs(FILE *out, const report *r)
{
    int64_t size = r->shape.h * r->shape.w * r->shape.c;
    bool good = true;
    if (!r->originals || r->pair_count == 0) return true;
    fputs("<h2>Originals and reconstructions</h2>\n<p class=\"soft\">Above what was to be drawn, "
          "below what the model draws, with "
          "its mean squared error.</p>\n",
          out);
    open_pictures(out, r->shape);
    for (int64_t i = 0; i < r->pair_count && good; i++) {
        const float *original = r->originals + i * size, *output = r->outputs + i * size;
        fputs("<figure>", out);
        good = put_image(out, r->shape, original, "original", r->pair_index[i]) &&
               put_image(out, r->shape, output, "reconstruction", r->pair_index[i]);
        fprintf(out, "<figcaption>%.4f</figcaption></figure>\n",
                picture_mse(original, output, size));
    }
    fputs("</div>\n", out);
    return good;
}

static bool put_row(FILE *out, const report *r, const char *title, const char *text,
                    const float *pixels, int64_t count)
{
    bool good = true;
    if (!pixels || count == 0) return true;
    fprintf(out, "<h2>%s</h2>\n<p class=\"soft\">%s</p>\n", title, text);
    open_pictures(out, r->shape);
    for (int64_t i = 0; i < count && good; i++)
        good = put_image(out, r->shape, pixels + i * r->shape.h * r->shape.w * r->shape.c,
                         "picture", i + 1);
    fputs("</div>\n", out);
    return good;
}

static void put_curves(FILE *out, const report *r)
{
    const run_history *h = r->history;
    char label[96];
    if (h->count == 0) return;
    fputs("<h2>Learning curve</h2>\n<div class=\"curves\">\n", out);
    snprintf(label, sizeof label, "PCA, %lld components: %.5f", (long long)r->pca_components,
             r->pca_mse);
    chart mse = {"mean squared error",
                 h->count,
                 h->rows[0] + 1,
                 h->validation ? h->rows[0] + 3 : NULL,
                 HISTORY_COLUMNS,
                 r->pca_components > 0 ? r->pca_mse : (double)NAN,
                 label};
    chart loss = {r->loss_name,    h->count,    h->rows[0], h->validation ? h->rows[0] + 2 : NULL,
                  HISTORY_COLUMNS, (double)NAN, ""};
    chart_write(out, &mse);
    if (strcmp(r->loss_name, mse.title) != 0) chart_write(out, &loss);
    fputs("</div>\n", out);
}

static void put_model(FILE *out, const report *r)
{
    int64_t total = 0;
    char text[32];
    fputs("<h2>Model</h2>\n<div class=\"wide\"><table>\n<thead><tr><th>layer<th "
          "class=\"more\">input<th>output<th>kernel"
          "<th class=\"more\">strides<th class=\"more\">padding<th>activation<th "
          "class=\"n\">parameters</tr></thead>\n<tbody>\n",
          out);
    for (int i = 0; i < r->layer_count; i++) {
        const convt_config *layer = &r->layers[i];
        convt_shape in = layer->input, output = {0};
        int64_t parameters = layer_parameters(layer, in.c);
        convt_output_shape(layer, &output, NULL);
        total += parameters;
        fputs("<tr><td>", out);
        put_text(out, layer->name ? layer->name : "");
        fprintf(out,
                "<td "
                "class=\"more\">%lld&times;%lld&times;%lld<td>%lld&times;%lld&times;%lld<td>%lld&"
                "times;%lld"
                "<td class=\"more\">%lld&times;%lld",
                (long long)in.h, (long long)in.w, (long long)in.c, (long long)output.h,
                (long long)output.w, (long long)output.c, (long long)layer->kernel_size.h,
                (long long)layer->kernel_size.w,
                (long long)(layer->strides.h ? layer->strides.h : 1),
                (long long)(layer->strides.w ? layer->strides.w : 1));
        fprintf(out, "<td class=\"more\">%s<td>%s<td class=\"n\">%s</tr>\n",
                layer->explicit_padding.set    ? "explicit"
                : layer->padding == CONVT_SAME ? "same"
                                               : "valid",
                activation_name(layer), count_text(text, parameters));
    }
    fprintf(out,
            "</tbody>\n<tfoot><tr><td>total<td class=\"more\"><td><td><td class=\"more\"><td "
            "class=\"more\"><td><td class=\"n\">%s</tr></tfoot>\n</table></div>\n",
            count_text(text, total));
}

static void put_run(FILE *out, const report *r)
{
    fputs("<h2>Run</h2>\n<dl>\n", out);
    for (int i = 0; i < r->fact_count; i++) {
        fprintf(out, "<div><dt>%s</dt><dd>", r->facts[i].name);
        put_text(out, r->facts[i].value);
        fputs("</dd></div>\n", out);
    }
    fputs("</dl>\n<h2>Do it again</h2>\n<p class=\"soft\">This command gives the same numbers "
          "for any number of threads, on machines with the same instruction set."
          "</p>\n<pre id=\"command\">",
          out);
    put_text(out, r->command);
    fputs("</pre>\n", out);
}

static bool put_page(FILE *out, const report *r)
{
    char text[160];
    fputs("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<link "
          "rel=\"icon\" href=\"data:,\">\n<title>",
          out);
    put_text(out, r->title);
    fprintf(out, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n<h1>", style);
    put_text(out, r->title);
    fputs("</h1>\n<p class=\"soft\">", out);
    put_text(out, r->subtitle);
    fputs("</p>\n", out);
    if (r->notice) {
        fputs("<p class=\"notice\">", out);
        put_text(out, r->notice);
        fputs("</p>\n", out);
    }
    put_numbers(out, r);
    put_pca(out, r);
    bool good = put_pairs(out, r);
    good = good && put_row(out, r, "Drawn from random codes",
                           "Images that nobody gave: codes scattered as those that were learned.",
                           r->random, r->random_count);
    snprintf(text, sizeof text, "Codes on the straight line between those of images %lld and %lld.",
             (long long)r->way_from, (long long)r->way_to);
    good = good && put_row(out, r, "From one image to another", text, r->way, r->way_count);
    put_curves(out, r);
    put_model(out, r);
    put_run(out, r);
    fprintf(out, "<footer>convt %s</footer>\n</main>\n</body>\n</html>\n", convt_version());
    return good;
}

convt_status report_write(const report *r, const char *path, convt_error *err)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    bool good = out && put_page(out, r);
    good = (!out || fclose(out) == 0) && good;
    convt_status status = CONVT_NO_MEMORY;
    if (good)
        status = convt_file_write(path, text, size, err);
    else
        err->status = status;
    free(text);
    return status;
}
