"""Videos of three frames of one colour, in each form in which DICOM has them."""

import base64
import zlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Video:
    """A video, and what its header says: height, width, bits per sample, and the number of frames if it does."""

    media_type: str
    rows: int
    columns: int
    bits: int
    frames: int | None
    packed: str

    @property
    def content(self) -> bytes:
        """The stream."""
        return zlib.decompress(base64.b85decode(self.packed))


VIDEOS = {
    "MP4_H264": Video(
        "video/mp4",
        34,
        46,
        8,
        3,
        "c-muNU{FXasVvAW&d+6FU}6B#Kx~v)mTZ_?U}DI?z`&7Kl$r{pU2{_sOMtXOYDWu$@&AAKjedxnJ=%HhOhe4PDTiXpbZgJvYHm|o"
        "`4Fgv({Ywkj??~st`Z;v80R@wa{X5XN-$gH=I56I#d31XGEx{&0P_nVQNh5-073}Bh^h*m@4$c;Fac3#Nl{`pkR4N!4YrdRi)j@Y"
        "I*GAY4~Uh(T$R+6l42k&lbTapf}{gzE(=sI6Ju^lW+Es6b5qd$ZUn?^453HB9NmnRoFbS^S!PNqvdS<ZKi?xUFC`}xq=s=#Zf0H@"
        "kRei*3pNzlnJOs|IhmBA)HEbV@st+jC_vbZK<6gq0NDqMONvvF)NBBy031O9^0*R%2axuFso?Pes#nO#OsX(4Gr<-S694}LNi(1-"
        "XT}r;uKy1iB-4TPnw!4AIu5viB83G+oUrkj7Qx8Cmht-WX{7^yfBXRH6(~q7E`YiNghi4{ilBka{|IJ&aS1pAVD4oG$30Lj&|k>n"
        "Agqy$P|FMvV}Z)EL20mF8KB-|G`&#u3<^NGD&*7)3U46h1%)rf-sF5Fy#_#RTbfb=N&u$0sbCre6p<qvm_UjW3kq_O1CApT7)1aR"
        "pN8l",
    ),
    "MP4_H265_10": Video(
        "video/mp4",
        102,
        198,
        10,
        3,
        "c-oCuU5I2y6}~;QNoIdEE3UW;>r#;wciFAp+db2>KhQ8ZhKvyNmPoQLSY1`!x0rix-KnbEGrb52qIt-J5k&M+WJU4Cm-r-NBI2vQ"
        "h!{ckQHT#dh+;?_zf<>iPw$wBm$_YaPMtb+>YVSKdnQSei{mh>jJHLStRytz?HAQXFG-TMvC|skmkT8V#;aF4KmF9xZ~XJOZ@v8f"
        "&J%zC#W&u5{iS!_8NB+3*OTO{Z~kO0NiN{;;bVipLip@T=XW3b(${<6{LI$BzV_V*UwIq6CzH;@%fEc}+z+>2JM~Jk_TwZu^P|Gr"
        "DVFkLnyKWGXZ0`mIY>GQ{T)4>N2QL_Tgm@?R+8lOKY|mxbg!@*&s_ZgZ3q9g^Zz;bH+aX9ysTC57%%GFhov3Rd!pTYx-66tn6N?}"
        "zk46=<H_^Cjs(wC?&d2~qx7=m3!v?eC{?aW=JbWalw`uWX%Uq!n|WC^YZsN%<0Yfc)GlYu{L~+P808o*`QX)&%&CuNdfNLCSJ1`B"
        "$qvSyxx|@g#Z<D~j1KyngAWSC`NP8`Ir&;PmD`;aI{aIaed%w>d+)#dF0gWf;hghZoim-oLlRgeiB<Z$^qudWd<u)#KG*3STlxM4"
        "W`4i<;)@TyeeKPcR)`gU`e#24`6oW#dCR>q+WKtLIr)+2I*%RBpS9~h`18r1ee#(<{rvd{|9<&b?>$FGvn!+8<cjrsH?K0zHoEKA"
        "Hg5B@pQ@YbVB^l+XH8ij+`IeC_BQKncKhA*-rda&HZtKJ>!ld5XQvB2H+G(WVVg;-v;=G0Rx@WNSz!INx6bi%i(Qdd*%#|P7-^l}"
        "7fxSiUnog93!%Dm;|5vNwQd5At%9+ozr$oz8#V0VN!M?)u@i;nA#++NKkTvns$!+(Re@8RNi+D;(dfM?SZ*gg*HfJjQ?gp=DrCc6"
        "%1l|+flFUO&$#l#{@_NhWjYPzw{IQv(mpsryIe?(?ZF0-^Js(z8MShwB<30J%7f7k+UiX4kpdIw8?KWfBG2tUFKx-CEyvasqLk56"
        "rz<T2&u|~@JQHQ94@PlEt!U78)C``6%qiG2wk#7qBYSjFSqGDHF~fFnY^6&+u@ysh@LfHF^|%;Y%u<F$o?E*s=uC1+dmV(73neN@"
        "VTRy|!l-tYkBlJgPA+Zj!vS-G``pOr6EAhCWgUhaX|&k*z~?;XgrX==WGdP~GuY(>{D2zlGbTel1iHw2S#xjh>*1}&PclTe6u6o="
        ";Gtby?=wtejCdQ_mI0-6Ms5ldu!U}*?A`(mYF6Tsk~{dJo2GNbfM(uI%FHyN3VzoBX0Fjn_Pgf9<|>G&2j7%hH4+S@EhnuJ9)&+-"
        "rkq5(3+*Pbx-|*6CKN+SLlcZWD>Qh%9%1Z*aH7PP!Of#+7t@IPCN!#!L<Z#VYf89CHq!=4rO0RZHTQ^KWu#|Hk8&$_hv^-JOW1gA"
        "VIw-*CAbMTdY!}TW~yl!_|U@TGajAc8kfKZf%rDJo_i|tqGM{H#rs@)4@515DD=UpR*?c=MIL7GW#wlSiav#+ncKZZV6Xw+f|H}S"
        "=4$0=ud?GY0Z+Qc)XAZAV{pd9{;h7x_M|N;XxhZI@<CU)j1MAszVA$+#BM0pWQ3`lK=m2+y1;NXniK0O6MHd42n%M2vMwhCFftMF"
        "MiasA+foA&HIl8tQ*cJ2%8VS_n=Bwp_mO-;pn*le#c=aBO-#82DLx%d5g#fjc8ctlf>!CXXk!Hl!vSlsfzxenUFA#x)8OXPkAcp9"
        "!-k|Y2SjDg76S1l=o^GV%=o@3mE9)|IWppU8Z$4i3xYY}HBM0m*Qt#5Ik75>D&R-R%V}*;^00%jj;cg7N>oF%6(OP<)tv8DysG@1"
        "LM(xKTr!V7oG%shb>NlozL5fVUOd_w)J+F-9l)2;c@R(?aZbUZuSQG<<$CF2LgGZIM<}Bl)fI9sV66>{nc@urq4s)FCKhZjkP9EO"
        "mRq5Yts!E$MmES`UGp&jd>2LJh}27~#S|WE=ct7oal&r8RfCMCPEgj$SmwsI<=g$}HH9+SZeN&&#<#&pHKPK611OB5CN$2?1BRo6"
        "<`r>~Y97(WEyz9OO+A%xbX=H5CytFq?||UOZwIAH$s1J0v{*z>(DxpZ8m3EMz!rX-@>U1WV#7e+BpZS)2&S6)2^VpPJk-r)kr;3U"
        "VsQkQ2p;LfxcS;vSyO68P99ZCCtpG1b&4#Gjon#ntlBP*-gBei+7|W`59i&R53#+ScY~|3vxY3X#$`UePkI$dU&79w$L|$+v~{%+"
        "Injzg-i}e#MW~X;RJHO63X{LT{I3Fa$#gv4k2hvWyR`Q@-eIi*b=!kN$B~|=mOE>7<4#mnzTBm*8MN>J0cf7Vg8",
    ),
    "H264": Video(
        "video/mp4",
        34,
        46,
        8,
        None,
        "c-muNU|>v7Vc=SG)Av`$0T%`aW(F1zal*!9S_A`7GUN5*(@F<`jMR=62IK$#?i>9OIeWD8+?j@$c~cI>l<C%<z17^Nw(=oJvEwYI"
        "9H;&NTqQsp#(9pFT>ljx0sy3|B%%",
    ),
    "H265_10": Video(
        "video/mp4",
        102,
        198,
        10,
        None,
        "c-muNU|@7$<YD~(pGkp%ftg_fhyWtFsWUhkfO1ZZjA#-IBo#8Rnngw~nXG*viU}kHCX56?%3T-_7Hvs#0J1a~*UP$Y`F{Rj{a+9E"
        "FMC^W^+&yaZQ6FdpMjy~z$y*~21y`#z-syiq>YL3f?#-yVV|nQ&!*{15^jOS7#JU@>~9lU>d?j2z`(Hr0Q@^FL;",
    ),
    "MPEG2": Video(
        "video/mpeg",
        34,
        46,
        8,
        3,
        "c-muNVBE~~KuP%j{|6Eb42)Yvx)>N4fPira0|$cx1Bk=_{|88>|Nm#l1|Wk`_>;&|{h9j<c6tRVJ=OH+0E#hT5o5+8#=sE%|2N2x"
        "t&Q?f(}c<jKn6f4W(dW=FrA<>0Nuef7y",
    ),
    "TS_H264": Video(
        "video/mp4",
        34,
        46,
        8,
        None,
        "c-nJ!5ENi=`k>0dc#whNKjVJ}#y<@r9zu+4Zf>~+sp*`-sYPX($*Bg0<u%Ty{tqtT?!X|xz_5WA>~;pm4-8rxSvLJ28o)gO=ys+J"
        "LSVN)Wca`!4I)JM`i2bww>vTzgaj}!RP)p^P}N{yBtBqZXgI)S$iOMEP>_NBMj|L;IX{5N^b`iJH8*{KbsTVEU|?oo0TCx`Jf=l}"
        "Br{$=KCN^B$VlyIVKDyx@4nFwk+VlT&z)(AnK$K7Oqp)&*;~zRYAYWC-EKIMVX%cLvd29h0zLkv5#e#iSxPxh`~SI00Nrjh37FzL"
        "W$G9PspEAH3WA~z;dsV*j+I>h6(0fsUrv%=",
    ),
    "MP4_H264_TABLES_FIRST": Video(
        "video/mp4",
        34,
        46,
        8,
        3,
        "c-muNU{FXasVvAW&d+6FU}6B#Kx~v)mTZ_?U}DI?z-*P9pI^qnz>t$$mXX4M0+?R_i3$cr1`t93MpRYkd<O=+fC-2?ONtV+f$W%)"
        "Y_OfoSWK(H&`FHFdO)lM=BlKoloSJLnbe%(5+of!b6KEznHY0ZG82Ieh1?W$zZ(HD8$;+3Fh@5dC8r1`Q<j;MimWmW$j|pk%uC5h"
        "1*u_Nlbe~B24sko<$?`GcBV=SL{289C^ZeqQ9PwZISLRqBha}?IY9P-;*#PNBsCjAk%l8EKpt0O@Bq>tFcmyLK=leanMoB!W+vDo"
        "LgN2_AZZ3v<;<AE!1ezjgJe38UUSp;SH}StP^7Sch!Zv*(;^rd*fL%}KCN`%?~flKy#fV^#RX7zfUrnXNf9)V`5(c|FD?N`0L;D2"
        ";J62>1^NqF9E3HJ5o(zsVk}U3HYg3&D+AP<jHVZ=o<RX9SB0E<LE#O=yrA%f*qfY>(94_!q-{%6N<ay~G&dDYgMcD(WCIgOQDQ+s"
        "4syV8WI|FDM_N%TC?&Y&rX+&+3aK3}495Te-8cFna`tHFxibwh^QIh%DbuYzd#kxkZRJCt8cxSqN;yvZ|G7$l3}Bq+SjqKY@gV?g"
        "*oP$",
    ),
}
