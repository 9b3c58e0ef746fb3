/* Constants of the vector functions in float64: printed by csrc/tools/fit_coefficients.py.
   Errors are relative to the function, in units of 2^-53 (half an ulp at 1). */

/* n LN2_HI is exact for |n| < 2^12. */
#define LOG2_E 0x1.71547652b82fep0
#define LN2_HI 0x1.62e42fefa3p-1
#define LN2_LO 0x1.3de6af278ece6p-42

/* pi / 2 in four parts; n times one of the first three is exact for |n| < 2^17. */
#define TWO_OVER_PI 0x1.45f306dc9c883p-1
static const real half_pi_parts[4] = {
    0x1.921fb5444p0, 0x1.68c234c4cp-39, 0x1.98a2e037p-77, 0x1.cd129024e088ap-115};

/* e^r = 1 + r + r^2 q(r) for |r| <= ln 2 / 2: degree 10, error 0.0041 */
static const real exp_q[11] = {
    0x1p-1, 0x1.5555555555559p-3, 0x1.5555555555559p-5, 0x1.111111110f58dp-7,
    0x1.6c16c16c184abp-10, 0x1.a01a01b08018ap-13, 0x1.a01a0188fb9e1p-16, 0x1.71ddf66c7db6fp-19,
    0x1.27e5403f1643bp-22, 0x1.af62bb31eb6bap-26, 0x1.1ea768fdf34e6p-29};

/* log(1 + f) = 2 s + s^3 P(s^2), s = f / (2 + f) for |s| <= tan(pi / 8)^2: degree 6, error 0.011 */
static const real log_p[7] = {
    0x1.5555555555592p-1, 0x1.999999997ff6bp-2, 0x1.24924941daa48p-2, 0x1.c71c521abd315p-3,
    0x1.74663b7c7bdb4p-3, 0x1.39a210027a622p-3, 0x1.2f02218b2a007p-3};

/* sin r = r + r^3 P(r^2) for |r| <= pi / 4: degree 5, error 0.034 */
static const real sin_p[6] = {
    -0x1.5555555555548p-3, 0x1.111111110f73p-7, -0x1.a01a019bea43bp-13, 0x1.71de3557afaf2p-19,
    -0x1.ae5e4ee80a18ap-26, 0x1.5d8cbf10c31dfp-33};

/* cos r = 1 - r^2/2 + r^4 P(r^2) for |r| <= pi / 4: degree 5, error 0.00051 */
static const real cos_p[6] = {
    0x1.555555555554bp-5, -0x1.6c16c16c15013p-10, 0x1.a01a019c8ec47p-16, -0x1.27e4f7f12d95dp-22,
    0x1.1ee9db79a073fp-29, -0x1.8fa650608562bp-37};

/* arctan t = t + t^3 P(t^2) for |t| <= tan(pi / 8): degree 10, error 0.014 */
static const real atan_p[11] = {
    -0x1.555555555553dp-2, 0x1.9999999995869p-3, -0x1.24924922ac0ebp-3, 0x1.c71c70e50558cp-4,
    -0x1.745cf8b11fb73p-4, 0x1.3b11154d35ea2p-4, -0x1.10eb8529eba12p-4, 0x1.df0c00c869b7ap-5,
    -0x1.9cc26378ae933p-5, 0x1.37a8acce8ae08p-5, -0x1.250121fc58021p-6};

/* erf x = x + x P(x^2) for |x| <= 0.875: degree 10, error 0.22 */
static const real erf_p[11] = {
    0x1.06eba8214db68p-3, -0x1.812746b03796dp-2, 0x1.ce2f21a03c3abp-4, -0x1.b82ce3106d3a9p-6,
    0x1.565bccb5a3ccap-8, -0x1.c02da2fdf0af9p-11, 0x1.f9a11e7f97dcbp-14, -0x1.f4aa497787f4ap-17,
    0x1.b7e845228c709p-20, -0x1.4f7a375b952dap-23, 0x1.6784da649c5cdp-27};

/* erf x = 1 - e^(x Q(x)) for 0.875 <= x <= 6: degree 17, error 0.068 */
static const real erf_q[18] = {
    -0x1.20dd75099e592p0, -0x1.45f304debe86p-1, -0x1.a4f57c8babecp-4, 0x1.397258e55a905p-6,
    0x1.a438f3f66f249p-13, -0x1.b79191272fd61p-10, 0x1.24cb536c516f1p-11, 0x1.d04a79365a358p-17,
    -0x1.b20efb1c56f7p-14, 0x1.f6fa52cca5ecp-15, -0x1.6ed62bb3acfabp-16, 0x1.881e1c3a435ebp-18,
    -0x1.3e27fbd3a42a4p-20, 0x1.86d8d4ceaab9p-23, -0x1.61bfdcd9b9655p-26, 0x1.bded041148465p-30,
    -0x1.5dd2c942027c8p-34, 0x1.01272fa86b287p-39};

/* e^(t^2/2) Phi(-t) = N(t) / D(t), where Phi is the normal distribution function, for
   0 <= t <= 39.0: degrees 9 and 10, error 1.0. All terms are positive. */
static const real tail_num[10] = {
    0x1p-1, 0x1.8cbce235f9212p-1, 0x1.3027c0b9ebd61p-1, 0x1.28482e47482b5p-2,
    0x1.902fbd6440118p-4, 0x1.830adbad711c7p-6, 0x1.0c02225ab3785p-8, 0x1.01221aa96a6b7p-11,
    0x1.3887d249f8469p-15, 0x1.74004997b6a7cp-20};
static const real tail_den[11] = {
    0x1p0, 0x1.2c7f85ea4d686p1, 0x1.47d728ced3249p1, 0x1.b6e2fdacbf70ap0,
    0x1.90694908ddedap-1, 0x1.0515d2f036731p-2, 0x1.ef19870a873ap-5, 0x1.52f572f02daecp-7,
    0x1.432de771bb855p-10, 0x1.87b2ef0757504p-14, 0x1.d23bf8e335477p-19};
